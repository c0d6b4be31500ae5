-- What may be handed out from now on.
DO $listing$
DECLARE
    here   CONSTANT oid := (SELECT oid FROM pg_database WHERE datname = current_database());
    bot    CONSTANT oid := (SELECT oid FROM pg_roles WHERE rolname = {bot_name});
    before CONSTANT boolean := current_setting('server_version_num')::int < 160000;
BEGIN
    DELETE FROM jit_admin.listing l
     WHERE l.database <> here
        OR NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = l.role AND r.rolname = l.name);
    UPDATE jit_admin.listing SET kind = 'withdrawn';
    INSERT INTO jit_admin.listing (role, name, kind, database)
    SELECT r.oid, w.name, w.kind, here FROM pg_temp.jit_wanted w JOIN pg_roles r ON r.rolname = w.name
        ON CONFLICT (role) DO UPDATE SET kind = excluded.kind;
    -- What a bot with powers of its own handed out: grants of these may be live.
    INSERT INTO jit_admin.listing (role, name, kind, database)
    SELECT r.oid, r.rolname, 'withdrawn', here
      FROM pg_roles r
     WHERE r.rolname ~ {lasting}
       AND EXISTS (SELECT FROM pg_roles b WHERE b.oid = bot AND b.rolcreaterole)
       AND (before OR EXISTS (SELECT FROM pg_auth_members m
                               WHERE m.roleid = r.oid AND m.member = bot AND m.admin_option))
        ON CONFLICT (role) DO NOTHING;
    UPDATE jit_admin.listing l SET kind = 'narrowed'
      FROM (SELECT m.member, jit_admin.narrowed_name(array_agg(DISTINCT a.rolname::text)) AS name,
                   bool_and(coalesce(k.kind = 'atom', false)) AS listed
              FROM pg_auth_members m
              JOIN pg_roles a ON a.oid = m.roleid
              LEFT JOIN jit_admin.listing k ON k.role = m.roleid
             GROUP BY m.member) AS carried
     WHERE l.name ~ {subsets} AND carried.member = l.role AND carried.listed AND carried.name = l.name;
END
$listing$;

-- The bot of an earlier bootstrap made roles itself and handed roles out itself. What it handed to ours stays
-- theirs, now from us; then it loses that power. Unless another database of this server still needs it.
DO $powers$
DECLARE
    bot      CONSTANT oid := (SELECT oid FROM pg_roles WHERE rolname = {bot_name});
    since_16 CONSTANT boolean := current_setting('server_version_num')::int >= 160000;
    older    text;
    held     record;
BEGIN
    SELECT string_agg(quote_ident(d.datname), ', ') INTO older
      FROM (SELECT s.dbid FROM pg_shdepend s -- functions that the bot may call, by database
             WHERE s.classid = 'pg_proc'::regclass AND s.deptype = 'a'
               AND s.refclassid = 'pg_authid'::regclass AND s.refobjid = bot
             GROUP BY s.dbid HAVING count(*) < {functions}) AS fewer
      JOIN pg_database d ON d.oid = fewer.dbid AND d.datname <> current_database();
    IF older IS NOT NULL THEN
        RAISE WARNING 'the bot keeps what power it has over roles, for databases prepared by an earlier bootstrap: %', older
            USING HINT = 'run what `jit bootstrap` prints now in each of them, then in this one again';
        RETURN;
    END IF;
    SET LOCAL client_min_messages = error; -- CASCADE takes some before it is their turn
    IF since_16 AND EXISTS (SELECT FROM pg_auth_members m WHERE m.grantor = bot) THEN
        ANALYZE pg_authid, pg_auth_members, pg_shdescription; -- or each row below is sought among all
        LOCK TABLE pg_auth_members IN SHARE ROW EXCLUSIVE MODE; -- it may be handing something out just now
        FOR held IN
            SELECT g.rolname AS role, r.rolname AS member, m.inherit_option::text AS inherits,
                   m.set_option::text AS sets
              FROM pg_auth_members m
              JOIN pg_roles g ON g.oid = m.roleid
              JOIN pg_roles r ON r.oid = m.member
             WHERE m.grantor = bot AND NOT m.admin_option
               AND (g.rolname = {bookkeeping} OR g.rolname ~ {lasting})
               AND (r.rolname ~ {temporary} AND NOT r.rolsuper OR r.rolname ~ {subsets})
               AND (starts_with(shobj_description(r.oid, 'pg_authid'), '{{"grant":')
                    OR EXISTS (SELECT FROM pg_auth_members o
                                WHERE o.roleid = r.oid AND o.member = bot AND o.admin_option))
        LOOP
            EXECUTE format('GRANT %I TO %I WITH ADMIN FALSE, INHERIT %s, SET %s',
                           held.role, held.member, held.inherits, held.sets);
        END LOOP;
    END IF;
    FOR held IN
        SELECT g.rolname AS role, pg_get_userbyid(m.grantor) AS grantor
          FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
         WHERE m.member = bot
           AND (g.rolname ~ {lasting} OR g.rolname ~ {temporary} AND g.rolname <> {quarantine})
         ORDER BY m.grantor = bot DESC
    LOOP
        EXECUTE format('REVOKE %I FROM %I', held.role, {bot_name})
            || CASE WHEN since_16 THEN format(' GRANTED BY %I CASCADE', held.grantor) ELSE '' END;
    END LOOP;
    ALTER ROLE {bot} NOCREATEROLE;
    IF since_16 THEN
        ALTER ROLE {bot} RESET createrole_self_grant;
    END IF;
    REVOKE ALL ON PARAMETER log_statement FROM {bot};
END
$powers$;
