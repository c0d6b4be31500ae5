-- What the bot does with scope roles, beyond handing them out: the roles of narrowed scopes come and go;
-- and what somebody has done with a scope role, or as one, is taken off it again.
CREATE OR REPLACE FUNCTION jit_admin.require_scope_role(asked text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    PERFORM jit_admin.require_read_committed();
    IF NOT EXISTS (SELECT FROM jit_admin.scope_roles WHERE name = asked) THEN
        RAISE EXCEPTION 'the role % is not listed', asked USING ERRCODE = '42501';
    END IF;
END
$body$;

-- Make the role of a narrowed scope from some of the atoms that are listed.
CREATE OR REPLACE FUNCTION jit_admin.make_narrowed_role(atoms text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    since_16 CONSTANT boolean := current_setting('server_version_num')::int >= 160000;
    made CONSTANT text := jit_admin.narrowed_name(atoms);
    atom text;
BEGIN
    PERFORM jit_admin.require_read_committed();
    PERFORM pg_advisory_xact_lock({lock}); -- see drop_narrowed_roles
    LOCK TABLE jit_admin.listing IN ROW EXCLUSIVE MODE; -- a bootstrap that changes it waits, or is over
    IF made IS NULL
       OR cardinality(atoms) <> (SELECT count(DISTINCT given) FROM unnest(atoms) AS given)
       OR EXISTS (SELECT FROM unnest(atoms) AS given (name)
                   WHERE NOT EXISTS (SELECT FROM jit_admin.scope_roles s
                                      WHERE s.name = given.name AND s.kind = 'atom')) THEN
        RAISE EXCEPTION 'not all of these are listed' USING ERRCODE = '42501';
    END IF;
    IF EXISTS (SELECT FROM jit_admin.scope_roles s WHERE s.name = made AND s.kind = 'narrowed') THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE ROLE %I NOLOGIN', made); -- fails where somebody else has one of that name
    FOREACH atom IN ARRAY atoms LOOP
        EXECUTE format('GRANT %I TO %I', atom, made)
            || CASE WHEN since_16 THEN ' WITH INHERIT TRUE, SET FALSE' ELSE '' END;
    END LOOP;
    IF EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member
                WHERE r.rolname = made
                  AND m.roleid NOT IN (SELECT s.role FROM jit_admin.scope_roles s WHERE s.kind = 'atom')) THEN
        RAISE EXCEPTION 'not all of these are listed' USING ERRCODE = '42501';
    END IF;
    INSERT INTO jit_admin.listing (role, name, kind, database)
    SELECT r.oid, made, 'narrowed', d.oid
      FROM pg_roles r, pg_database d WHERE r.rolname = made AND d.datname = current_database()
        ON CONFLICT (role) DO UPDATE SET name = excluded.name, kind = excluded.kind, database = excluded.database;
END
$body$;

-- Drop those that no grant uses any more. The lock is held by whoever makes or uses one, too.
CREATE OR REPLACE FUNCTION jit_admin.drop_narrowed_roles() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    unused record;
BEGIN
    PERFORM jit_admin.require_read_committed();
    PERFORM pg_advisory_xact_lock({lock});
    LOCK TABLE jit_admin.listing IN ROW EXCLUSIVE MODE; -- first of all: a bootstrap locks it before memberships
    FOR unused IN
{unused_subsets}
    LOOP
        EXECUTE format('DROP ROLE %I', unused.name);
        DELETE FROM jit_admin.listing l WHERE l.name = unused.name;
    END LOOP;
END
$body$;

-- Nobody logs in as a scope role.
CREATE OR REPLACE FUNCTION jit_admin.shut_scope_role(name text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    PERFORM jit_admin.require_scope_role(name);
    EXECUTE format('ALTER ROLE %I NOLOGIN PASSWORD NULL', name);
END
$body$;

-- It has no settings: none at all, or none in that database.
CREATE OR REPLACE FUNCTION jit_admin.reset_scope_role(name text, database text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    PERFORM jit_admin.require_scope_role(name);
    EXECUTE format('ALTER ROLE %I %s RESET ALL', name,
                   CASE WHEN database IS NULL THEN '' ELSE format('IN DATABASE %I', database) END);
END
$body$;

-- Let the bot act as a scope role that has prepared transactions, which only whoever is their owner, and
-- no function, may roll back, or that owns what must be handed over where it is. Nothing else is a reason.
CREATE OR REPLACE FUNCTION jit_admin.lend_scope_role(name text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    PERFORM jit_admin.require_scope_role(name);
    PERFORM FROM pg_roles r
     WHERE r.rolname = name
       AND NOT (r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls)
       AND (EXISTS (SELECT FROM pg_prepared_xact() p WHERE p.ownerid = r.oid)
            OR EXISTS (SELECT FROM pg_shdepend s
                        WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = r.oid AND s.deptype = 'o'));
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no reason to lend the role %', name USING ERRCODE = '42501';
    END IF;
    EXECUTE format('GRANT %I TO %I', name, session_user)
        || CASE WHEN current_setting('server_version_num')::int >= 160000
                THEN ' WITH ADMIN FALSE, INHERIT TRUE, SET TRUE' ELSE '' END;
END
$body$;

-- The bot is no member of it, whoever gave it that.
CREATE OR REPLACE FUNCTION jit_admin.return_scope_role(name text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    PERFORM jit_admin.require_scope_role(name);
    PERFORM jit_admin.take_memberships(ARRAY[session_user::text], name, NULL);
END
$body$;

-- A membership that a scope role gave, or before 16 a temporary one: it would outlive the grant.
CREATE OR REPLACE FUNCTION jit_admin.take_back_membership(giver text, given text, member text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    IF EXISTS (SELECT FROM jit_admin.scope_roles s WHERE s.name = giver) THEN
        PERFORM jit_admin.require_scope_role(giver);
    ELSE
        PERFORM jit_admin.require_temporary(ARRAY[giver], true);
    END IF;
    IF given IS NULL OR jit_admin.take_memberships(ARRAY[member], given, giver) = 0 THEN
        RAISE EXCEPTION '% has not given % to %', giver, given, member USING ERRCODE = '42501';
    END IF;
END
$body$;

-- Theirs is the power of the one superuser there always is; only the bot may call them.
DO $deputies$
DECLARE
    deputy   regprocedure;
    relation regclass;
    owner     CONSTANT name := (SELECT rolname FROM pg_roles WHERE oid = 10);
BEGIN
    FOREACH deputy IN ARRAY ({deputies}::text[] || {within}::text[])::regprocedure[] LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO %I', deputy, owner);
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', deputy);
    END LOOP;
    FOREACH deputy IN ARRAY {deputies}::regprocedure[] LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', deputy, {bot_name});
    END LOOP;
    -- Ends read these: they would wait for whatever locks them, so nothing does that needlessly.
    FOR relation IN
        SELECT c.oid FROM pg_class c
         WHERE c.oid IN ('jit_admin.listing'::regclass, 'jit_admin.scope_roles'::regclass) AND c.relowner <> 10
    LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO %I', relation, owner);
    END LOOP;
    -- Whatever new tables come with by default: who may write there says what may be handed out.
    REVOKE ALL ON jit_admin.listing, jit_admin.scope_roles FROM PUBLIC, {bot};
    EXECUTE format('GRANT SELECT ON jit_admin.scope_roles TO %I', {bot_name});
END
$deputies$;
