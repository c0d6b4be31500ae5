-- Every role that carries our mark, and every role named like one that does not. Whoever is a member of
-- the quarantine is a bot, of this database or of another one of the server, and the bot is no member worth
-- telling of.
WITH bots AS (
    SELECT m.member AS oid FROM pg_auth_members m JOIN pg_roles b ON b.oid = m.roleid
     WHERE b.rolname = {quarantine} OR b.rolname = {bookkeeping} AND m.admin_option
    UNION
    SELECT oid FROM pg_roles WHERE rolname IN (current_user, session_user)
), marked AS (
    SELECT m.member AS oid FROM pg_auth_members m JOIN pg_roles b ON b.oid = m.roleid
     WHERE b.rolname = {bookkeeping} AND NOT m.admin_option
    EXCEPT -- lent to itself for a moment, to undo what was done as the mark
    SELECT oid FROM bots
)
SELECT r.oid,
       r.rolname::text AS name,
       r.oid IN (SELECT oid FROM marked) AS marked,
       r.rolcanlogin AS can_login,
       r.rolconnlimit AS connection_limit,
       CASE WHEN isfinite(r.rolvaliduntil) THEN r.rolvaliduntil END AS valid_until,
       shobj_description(r.oid, 'pg_authid') AS comment,
       array_remove(ARRAY[CASE WHEN r.rolsuper THEN 'SUPERUSER' END,
                          CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END,
                          CASE WHEN r.rolcreatedb THEN 'CREATEDB' END,
                          CASE WHEN r.rolreplication THEN 'REPLICATION' END,
                          CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END], NULL) AS powers,
       ARRAY(SELECT DISTINCT g.rolname::text
               FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
              WHERE m.member = r.oid AND g.rolname <> {bookkeeping} ORDER BY 1) AS member_of,
       ARRAY(SELECT DISTINCT g.rolname::text
               FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.member
              WHERE m.roleid = r.oid AND m.member NOT IN (SELECT oid FROM bots)
              ORDER BY 1) AS members,
       (SELECT count(*) FROM pg_shdepend s
         WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = r.oid
           AND s.deptype = 'o') AS owned,
       (SELECT count(*) FROM pg_shdepend s
         WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = r.oid
           AND s.deptype = 'a' AND s.classid <> 'pg_auth_members'::regclass) AS privileges,
       (SELECT count(*) FROM pg_stat_activity WHERE usesysid = r.oid) AS sessions,
       {can_end} AS administered
  FROM pg_roles r
 WHERE r.oid IN (SELECT oid FROM marked)
    OR (lower(r.rolname) ~ {temporary}
        AND r.rolname NOT IN ({bookkeeping}, {quarantine})
        AND r.oid NOT IN (SELECT oid FROM bots))
 ORDER BY r.rolname
