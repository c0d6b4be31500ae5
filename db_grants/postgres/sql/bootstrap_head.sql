BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL search_path = pg_catalog, pg_temp;

DO $guard$
BEGIN
    IF current_database() <> {database} THEN
        RAISE EXCEPTION 'this is the database %, and these statements are for another', current_database();
    END IF;
    IF current_setting('server_version_num')::int < 150000 THEN
        RAISE EXCEPTION 'PostgreSQL 15 or newer is needed';
    END IF;
    -- Whose these are could have given them away before, or would act with a superuser's power below.
    IF EXISTS (SELECT FROM pg_namespace n JOIN pg_roles o ON o.oid = n.nspowner
                WHERE n.nspname = 'jit_admin' AND NOT o.rolsuper)
       OR EXISTS (SELECT FROM pg_proc p JOIN pg_roles o ON o.oid = p.proowner
                   WHERE p.pronamespace = to_regnamespace('jit_admin') AND NOT o.rolsuper)
       OR EXISTS (SELECT FROM pg_class c JOIN pg_roles o ON o.oid = c.relowner
                   WHERE c.relnamespace = to_regnamespace('jit_admin') AND NOT o.rolsuper) THEN
        RAISE EXCEPTION 'the schema jit_admin, or something in it, belongs to somebody else: drop it first';
    END IF;
    -- What may be handed out changes below: grants wait, ends do not. First of all, as the functions below
    -- have it, or each could wait for the other.
    IF to_regclass('jit_admin.listing') IS NOT NULL THEN
        LOCK TABLE jit_admin.listing IN EXCLUSIVE MODE;
    END IF;
END
$guard$;

-- Little helpers that vanish with this session. PostgreSQL has no CREATE ROLE IF NOT EXISTS, and
-- GRANT ... WITH INHERIT, SET exists only from version 16 on.
CREATE OR REPLACE PROCEDURE pg_temp.jit_role(name text, attributes text) LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
        EXECUTE format('ALTER ROLE %I %s', name, attributes);
    ELSE
        EXECUTE format('CREATE ROLE %I %s', name, attributes);
    END IF;
END
$$;

CREATE OR REPLACE PROCEDURE pg_temp.jit_member(role text, member text, options text) LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('server_version_num')::int >= 160000 THEN
        EXECUTE format('GRANT %I TO %I WITH %s', role, member, options);
    ELSE
        EXECUTE format('GRANT %I TO %I', role, member);
    END IF;
END
$$;

-- An entitlement's role carries exactly these atoms: what the catalog no longer lists is taken away, and
-- whatever somebody else has given it.
CREATE OR REPLACE PROCEDURE pg_temp.jit_carries(role text, atoms text[]) LANGUAGE plpgsql AS $$
DECLARE
    since_16 CONSTANT boolean := current_setting('server_version_num')::int >= 160000;
    other record;
    atom text;
BEGIN
    FOR other IN
        SELECT a.rolname AS name, pg_get_userbyid(m.grantor) AS grantor
          FROM pg_auth_members m
          JOIN pg_roles a ON a.oid = m.roleid JOIN pg_roles r ON r.oid = m.member
         WHERE r.rolname = role AND (a.rolname <> ALL (atoms) OR m.admin_option OR since_16 AND m.grantor <> 10)
    LOOP
        EXECUTE format('REVOKE %I FROM %I', other.name, role)
            || CASE WHEN since_16 THEN format(' GRANTED BY %I CASCADE', other.grantor) ELSE '' END;
    END LOOP;
    FOREACH atom IN ARRAY atoms LOOP
        CALL pg_temp.jit_member(atom, role, 'ADMIN FALSE, INHERIT TRUE, SET FALSE');
    END LOOP;
END
$$;

-- Whoever may insert needs the sequences behind the defaults of that table's columns.
CREATE OR REPLACE PROCEDURE pg_temp.jit_sequences(relation regclass, role text) LANGUAGE plpgsql AS $$
DECLARE
    sequence regclass;
BEGIN
    FOR sequence IN
        SELECT s.oid FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
         WHERE d.refobjid = relation AND d.classid = 'pg_class'::regclass AND d.deptype = 'a'
    LOOP
        EXECUTE format('GRANT USAGE ON SEQUENCE %s TO %I', sequence, role);
    END LOOP;
END
$$;

-- What this database is prepared with; see the end.
CREATE TEMPORARY TABLE jit_wanted (name text PRIMARY KEY, kind text NOT NULL) ON COMMIT DROP;

-- The bot: no superuser, owns nothing, reads no data, and has no power over any role but by the functions
-- below.
CALL pg_temp.jit_role({bot_name}, 'LOGIN INHERIT NOSUPERUSER NOCREATEDB NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 50');
GRANT CONNECT ON DATABASE {database_name} TO {bot};
GRANT pg_read_all_stats TO {bot};                  -- whose sessions are whose

-- The mark by which temporary roles are known, and the owner of whatever they might leave behind.
CALL pg_temp.jit_role('jit_managed', 'NOLOGIN');
INSERT INTO pg_temp.jit_wanted VALUES ('jit_managed', 'mark');
CALL pg_temp.jit_role('jit_quarantine', 'NOLOGIN');
CALL pg_temp.jit_member('jit_quarantine', {bot_name}, 'ADMIN FALSE, INHERIT TRUE, SET TRUE');
