-- What a grant does to its own role, and nothing else, each in a function with the power that takes.
-- A bot that may call these needs no power over roles itself. From 16 on whoever may hand roles out also
-- has the server work out, with every look at sessions and every statement about any role, all that they
-- administer: the bot administers none, so neither its grants nor its ends grow slower with their number.
DROP FUNCTION IF EXISTS -- of an earlier bootstrap, and called by no other function any more
    jit_admin.require_furniture(text, integer, timestamptz, text, boolean),
    jit_admin.furnish_role(text, text, text, boolean),
    jit_admin.strip_roles(text[]);

-- What is true now is asked: by an older snapshot a role made since is not there, whatever it is by now.
CREATE OR REPLACE FUNCTION jit_admin.require_read_committed() RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'what is true now is asked in READ COMMITTED' USING ERRCODE = '42501';
    END IF;
END
$body$;

-- These touch no role but temporary ones. The rows of those that are asked for are held: until this is over
-- nobody drops one, or has its name for another, however long anything is waited for. A name that nobody has
-- yet is none.
CREATE OR REPLACE FUNCTION jit_admin.require_temporary(names text[], also_superusers boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    held int;
    name text;
BEGIN
    PERFORM jit_admin.require_read_committed();
    PERFORM FROM pg_authid r
      WHERE r.rolname = ANY (names) AND (also_superusers OR NOT r.rolsuper) AND
{made_for_grant}
        FOR KEY SHARE OF r;
    GET DIAGNOSTICS held = ROW_COUNT;
    IF held = cardinality(names) THEN
        RETURN;
    END IF;
    FOREACH name IN ARRAY names LOOP
        IF to_regrole(quote_ident(name)) IS NULL THEN
            RAISE EXCEPTION 'role "%" does not exist', name USING ERRCODE = '42704';
        END IF;
    END LOOP;
    RAISE EXCEPTION 'one of % was not made for a grant', names USING ERRCODE = '42501';
END
$body$;

-- Take from `members` what they are members of: everything but our mark, or the role `given` alone; from
-- whomever they have it, or from `giver` alone. With what they gave on of it; of how many.
CREATE OR REPLACE FUNCTION jit_admin.take_memberships(members text[], given text, giver text) RETURNS int
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    since_16 CONSTANT boolean := current_setting('server_version_num')::int >= 160000;
    held  record;
    taken int := 0;
BEGIN
    FOR held IN
        SELECT g.rolname AS role, r.rolname AS member, pg_get_userbyid(m.grantor) AS grantor
          FROM pg_auth_members m
          JOIN pg_roles r ON r.oid = m.member
          JOIN pg_roles g ON g.oid = m.roleid
         WHERE r.rolname = ANY (members)
           AND CASE WHEN given IS NULL THEN g.rolname <> {bookkeeping} ELSE g.rolname = given END
           AND (giver IS NULL OR pg_get_userbyid(m.grantor) = giver)
    LOOP
        EXECUTE format('REVOKE %I FROM %I', held.role, held.member)
            || CASE WHEN since_16 THEN format(' GRANTED BY %I', held.grantor) ELSE '' END
            || ' CASCADE';
        taken := taken + 1;
    END LOOP;
    RETURN taken;
END
$body$;

-- Make or change a temporary role by `statement` so that it is one: with its note, and two memberships: in
-- our mark, and in a scope role that is listed to be handed out, or all this has not been. It is looked at
-- once it is given, by OID: whoever took its name meanwhile is not it.
CREATE OR REPLACE FUNCTION jit_admin.furnish_role(
    statement text, name text, carried text, connections int, until timestamptz, note text, logged boolean
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    since_16 CONSTANT boolean := current_setting('server_version_num')::int >= 160000;
BEGIN
    IF (name ~ {temporary} AND name NOT IN ({bookkeeping}, {quarantine}, session_user) AND connections > 0
        AND isfinite(until) AND starts_with(note, '{{"grant":') AND logged IS NOT NULL) IS NOT TRUE THEN
        RAISE EXCEPTION 'this is no temporary role' USING ERRCODE = '42501';
    END IF;
    PERFORM jit_admin.require_read_committed();
    LOCK TABLE jit_admin.listing IN ROW SHARE MODE; -- a bootstrap that changes it waits, or is over
    EXECUTE format(statement || ' LOGIN INHERIT CONNECTION LIMIT %s VALID UNTIL %L', name, connections, until);
    EXECUTE format('COMMENT ON ROLE %I IS %L', name, note);
    IF logged THEN
        EXECUTE format('ALTER ROLE %I SET log_statement = %L', name, 'all');
    END IF;
    EXECUTE format('GRANT %I TO %I', carried, name) || CASE WHEN since_16 THEN ' WITH INHERIT TRUE, SET FALSE' ELSE '' END;
    EXECUTE format('GRANT %I TO %I', {bookkeeping}, name) || CASE WHEN since_16 THEN ' WITH INHERIT FALSE, SET FALSE' ELSE '' END;
    -- One after the other: joined, the server would rather read all members there are, for each of them.
    IF NOT EXISTS (
        SELECT FROM pg_auth_members m
         WHERE m.member = (SELECT r.oid FROM pg_roles r WHERE r.rolname = furnish_role.name)
           AND m.roleid = (SELECT g.oid FROM pg_roles g JOIN jit_admin.scope_roles s ON s.role = g.oid
                            WHERE g.rolname = carried AND s.kind IN ('entitlement', 'narrowed')
                              AND NOT (g.rolsuper OR g.rolcreaterole OR g.rolcreatedb OR g.rolreplication OR g.rolbypassrls))) THEN
        RAISE EXCEPTION 'the role % is not for temporary roles', carried USING ERRCODE = '42501';
    END IF;
END
$body$;

-- Make the role of a grant.
CREATE OR REPLACE FUNCTION jit_admin.make_role(
    name text, carried text, connections int, until timestamptz, note text, logged boolean
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    PERFORM jit_admin.furnish_role('CREATE ROLE %I', name, carried, connections, until, note, logged);
END
$body$;

-- Bring one that is there to that again, also where its door was shut or somebody gave it more. Whether it is
-- ours is asked last of all: its name may have come to be somebody else's while this waited for a lock.
CREATE OR REPLACE FUNCTION jit_admin.mend_role(
    name text, carried text, connections int, until timestamptz, note text, logged boolean
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    LOCK TABLE jit_admin.listing IN ROW SHARE MODE; -- first of all: a bootstrap locks it before memberships
    PERFORM jit_admin.take_memberships(ARRAY[name], NULL, NULL);
    PERFORM jit_admin.require_temporary(ARRAY[name], false);
    PERFORM jit_admin.furnish_role('ALTER ROLE %I NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS',
                                   name, carried, connections, until, note, logged);
END
$body$;

-- Give it a password, as a verifier: what a password is has no business here.
CREATE OR REPLACE FUNCTION jit_admin.set_password(name text, verifier text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    PERFORM jit_admin.require_temporary(ARRAY[name], false);
    IF starts_with(verifier, 'SCRAM-SHA-256$') IS NOT TRUE THEN
        RAISE EXCEPTION 'this is no verifier' USING ERRCODE = '42501';
    END IF;
    EXECUTE format('ALTER ROLE %I PASSWORD %L', name, verifier);
END
$body$;

-- Move its deadline, on the role and in its note.
CREATE OR REPLACE FUNCTION jit_admin.set_deadline(name text, until timestamptz, note text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    PERFORM jit_admin.require_temporary(ARRAY[name], false);
    IF (starts_with(note, '{{"grant":') AND isfinite(until)) IS NOT TRUE THEN
        RAISE EXCEPTION 'this is no deadline' USING ERRCODE = '42501';
    END IF;
    EXECUTE format('ALTER ROLE %I VALID UNTIL %L', name, until);
    EXECUTE format('COMMENT ON ROLE %I IS %L', name, note);
END
$body$;

-- Nobody logs in as these any more, also where somebody has made them superusers.
CREATE OR REPLACE FUNCTION jit_admin.shut_roles(names text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    name text;
BEGIN
    PERFORM jit_admin.require_temporary(names, true);
    FOREACH name IN ARRAY names LOOP
        EXECUTE format('ALTER ROLE %I NOLOGIN CONNECTION LIMIT 0 VALID UNTIL %L PASSWORD NULL', name, '-infinity');
    END LOOP;
END
$body$;

-- Take all privileges from these, then let the bot act for them: cut their sessions, hand over what
-- they own, roll back what they prepared. Hand them to others it may not.
CREATE OR REPLACE FUNCTION jit_admin.take_over_roles(names text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    since_16 CONSTANT boolean := current_setting('server_version_num')::int >= 160000;
    name text;
BEGIN
    PERFORM jit_admin.require_temporary(names, false);
    PERFORM jit_admin.take_memberships(names, NULL, NULL);
    FOREACH name IN ARRAY names LOOP
        EXECUTE format('GRANT %I TO %I', name, session_user)
            || CASE WHEN since_16 THEN ' WITH ADMIN FALSE, INHERIT TRUE, SET TRUE' ELSE '' END;
    END LOOP;
END
$body$;

-- A program older than this bootstrap looks for it before it uses the others.
CREATE OR REPLACE FUNCTION jit_admin.lend_roles(names text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    RAISE EXCEPTION 'no role is lent any more: this program is older than the bootstrap' USING ERRCODE = '42501';
END
$body$;

-- The end of these: their doors are shut already. It fails as long as anything hangs on one of them. Who else
-- is about to drop one waits where nobody has yet what the other waits for.
CREATE OR REPLACE FUNCTION jit_admin.drop_roles(names text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    is_open boolean;
BEGIN
    SELECT bool_or(held.rolcanlogin) INTO is_open
      FROM (SELECT rolcanlogin FROM pg_authid WHERE rolname = ANY (names) FOR UPDATE) AS held;
    PERFORM jit_admin.require_temporary(names, true);
    IF is_open THEN
        RAISE EXCEPTION 'a role that can log in is not dropped' USING ERRCODE = '42501';
    END IF;
    EXECUTE (SELECT 'DROP ROLE ' || string_agg(quote_ident(name), ', ') FROM unnest(names) AS given (name));
END
$body$;
