-- What a grant does to its own role, and nothing else, each in a function with the power that takes.
-- From 16 on whoever makes a role administers it, and every later statement of theirs about any role
-- works out anew what they administer: a role made by one of these the bot does not administer, so
-- neither its grants nor its ends grow slower with their number. They touch no role but temporary ones.
CREATE OR REPLACE FUNCTION jit_admin.require_temporary(names text[], also_superusers boolean) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    other text;
BEGIN
    -- Made by one of these functions (its note, or a mark the bot did not give), or made by the bot.
    SELECT r.rolname INTO other
      FROM unnest(names) AS given (name) JOIN pg_roles r ON r.rolname = given.name
     WHERE r.rolname !~ {temporary}
        OR r.rolname IN ({bookkeeping}, {quarantine}, session_user)
        OR (r.rolsuper AND NOT also_superusers)
        OR NOT (coalesce(starts_with(shobj_description(r.oid, 'pg_authid'), '{{"grant":'), false)
                OR EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles b ON b.oid = m.roleid
                            WHERE m.member = r.oid AND b.rolname = {bookkeeping} AND NOT m.admin_option
                              AND pg_get_userbyid(m.grantor) <> session_user)
                OR EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles b ON b.oid = m.member
                            WHERE m.roleid = r.oid AND b.rolname = session_user AND m.admin_option))
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the role % was not made for a grant', other USING ERRCODE = '42501';
    END IF;
END
$body$;

-- Make the role of a grant: one membership in a scope role that the bot may hand out, and our mark.
CREATE OR REPLACE FUNCTION jit_admin.make_role(
    name text, carried text, connections int, until timestamptz, note text, logged boolean
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    since_16 CONSTANT boolean := current_setting('server_version_num')::int >= 160000;
BEGIN
    IF name !~ {temporary} OR name IN ({bookkeeping}, {quarantine}, session_user)
       OR NOT starts_with(note, '{{"grant":') OR connections < 1 OR NOT isfinite(until) THEN
        RAISE EXCEPTION 'this is no temporary role' USING ERRCODE = '42501';
    END IF;
    IF carried !~ {lasting}
       OR since_16 AND NOT EXISTS (SELECT FROM pg_auth_members m
                                     JOIN pg_roles g ON g.oid = m.roleid
                                     JOIN pg_roles b ON b.oid = m.member
                                    WHERE g.rolname = carried AND b.rolname = session_user AND m.admin_option) THEN
        RAISE EXCEPTION 'the role % is not for temporary roles', carried USING ERRCODE = '42501';
    END IF;
    EXECUTE format('CREATE ROLE %I LOGIN INHERIT CONNECTION LIMIT %s VALID UNTIL %L', name, connections, until);
    EXECUTE format('COMMENT ON ROLE %I IS %L', name, note);
    IF logged THEN
        EXECUTE format('ALTER ROLE %I SET log_statement = %L', name, 'all');
    END IF;
    EXECUTE format('GRANT %I TO %I', carried, name) || CASE WHEN since_16 THEN ' WITH INHERIT TRUE, SET FALSE' ELSE '' END;
    EXECUTE format('GRANT %I TO %I', {bookkeeping}, name) || CASE WHEN since_16 THEN ' WITH INHERIT FALSE, SET FALSE' ELSE '' END;
END
$body$;

-- Give it a password, as a verifier: what a password is has no business here.
CREATE OR REPLACE FUNCTION jit_admin.set_password(name text, verifier text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    PERFORM jit_admin.require_temporary(ARRAY[name], false);
    IF NOT starts_with(verifier, 'SCRAM-SHA-256$') THEN
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
    IF NOT starts_with(note, '{{"grant":') OR NOT isfinite(until) THEN
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
-- they own, roll back what they prepared.
CREATE OR REPLACE FUNCTION jit_admin.take_over_roles(names text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    since_16 CONSTANT boolean := current_setting('server_version_num')::int >= 160000;
    held record;
    name text;
BEGIN
    PERFORM jit_admin.require_temporary(names, false);
    FOR held IN
        SELECT g.rolname AS role, r.rolname AS member, pg_get_userbyid(m.grantor) AS grantor
          FROM pg_auth_members m
          JOIN pg_roles r ON r.oid = m.member
          JOIN pg_roles g ON g.oid = m.roleid
         WHERE r.rolname = ANY (names) AND g.rolname <> {bookkeeping}
    LOOP
        EXECUTE format('REVOKE %I FROM %I', held.role, held.member)
            || CASE WHEN since_16 THEN format(' GRANTED BY %I', held.grantor) ELSE '' END;
    END LOOP;
    FOREACH name IN ARRAY names LOOP
        EXECUTE format('GRANT %I TO %I', name, session_user)
            || CASE WHEN since_16 THEN ' WITH ADMIN TRUE, INHERIT TRUE, SET TRUE' ELSE '' END;
    END LOOP;
END
$body$;

-- Let the bot administer these, as if it had made them: for what is out of the ordinary.
CREATE OR REPLACE FUNCTION jit_admin.lend_roles(names text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    name text;
BEGIN
    PERFORM jit_admin.require_temporary(names, false);
    IF current_setting('server_version_num')::int >= 160000 THEN -- before, CREATEROLE is enough
        FOR name IN
            SELECT r.rolname FROM pg_roles r
             WHERE r.rolname = ANY (names)
               AND NOT EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles b ON b.oid = m.member
                                WHERE m.roleid = r.oid AND b.rolname = session_user AND m.admin_option)
        LOOP
            EXECUTE format('GRANT %I TO %I WITH ADMIN TRUE, INHERIT FALSE, SET FALSE', name, session_user);
        END LOOP;
    END IF;
END
$body$;

-- The end of these: their doors are shut already. It fails as long as anything hangs on one of them.
CREATE OR REPLACE FUNCTION jit_admin.drop_roles(names text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    PERFORM jit_admin.require_temporary(names, true);
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = ANY (names) AND rolcanlogin) THEN
        RAISE EXCEPTION 'a role that can log in is not dropped' USING ERRCODE = '42501';
    END IF;
    EXECUTE (SELECT 'DROP ROLE ' || string_agg(quote_ident(name), ', ') FROM unnest(names) AS given (name));
END
$body$;

-- Theirs is the power of the one superuser there always is; only the bot may call them.
DO $deputies$
DECLARE
    deputy regprocedure;
    owner  CONSTANT name := (SELECT rolname FROM pg_roles WHERE oid = 10);
BEGIN
    FOREACH deputy IN ARRAY {deputies}::regprocedure[] LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO %I', deputy, owner);
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', deputy);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', deputy, {bot_name});
    END LOOP;
    EXECUTE format('ALTER FUNCTION jit_admin.require_temporary(text[], boolean) OWNER TO %I', owner);
    REVOKE ALL ON FUNCTION jit_admin.require_temporary(text[], boolean) FROM PUBLIC;
END
$deputies$;
