-- What lasting roles have beyond what the bootstrap gave them: scope roles and our mark must own
-- nothing, have no settings, let nobody in. One thing a row. Before 16 the holder of a grant may
-- SET ROLE to them, and what is done so outlives the grant. `shared`: somebody other than the role
-- with OID {oid} may act as that role now, so it may be theirs.
--
-- What the bot may administer is read from its own memberships, which the bootstrap makes directly:
-- pg_has_role would work all of them out again for each of a thousand roles.
WITH bot AS (
    SELECT oid, rolsuper FROM pg_roles WHERE rolname = current_user
), lasting AS (
    SELECT r.oid, r.rolname::text AS role, r.rolcanlogin
      FROM pg_roles r
     WHERE (r.rolname = {bookkeeping} OR r.rolname ~ {pattern})
       AND (current_setting('server_version_num')::int < 160000
            OR (SELECT rolsuper FROM bot)
            OR r.oid IN (SELECT m.roleid FROM pg_auth_members m JOIN bot ON bot.oid = m.member
                          WHERE m.admin_option))
), found (oid, role, kind, database, what, at) AS (
    SELECT l.oid, l.role, 'owned', coalesce(d.datname, current_database())::text, count(*)::text, NULL::timestamptz
      FROM lasting l
      JOIN pg_shdepend s ON s.refclassid = 'pg_authid'::regclass AND s.refobjid = l.oid AND s.deptype = 'o'
      LEFT JOIN pg_database d ON d.oid = s.dbid
     GROUP BY l.oid, l.role, d.datname
    UNION ALL
    SELECT l.oid, l.role, 'prepared', d.datname::text, p.gid, p.prepared
      FROM pg_prepared_xact() p JOIN lasting l ON l.oid = p.ownerid JOIN pg_database d ON d.oid = p.dbid
    UNION ALL
    SELECT l.oid, l.role, 'settings', d.datname::text, array_to_string(s.setconfig, ', '), NULL
      FROM lasting l
      JOIN pg_db_role_setting s ON s.setrole = l.oid
      LEFT JOIN pg_database d ON d.oid = s.setdatabase
    UNION ALL
    SELECT oid, role, 'login', NULL, NULL, NULL FROM lasting WHERE rolcanlogin
    UNION ALL -- what the bot lent itself, and had no time to give back
    SELECT l.oid, l.role, 'borrowed', NULL, NULL, NULL
      FROM pg_auth_members m JOIN lasting l ON l.oid = m.roleid JOIN bot ON bot.oid = m.member
     WHERE current_setting('server_version_num')::int < 160000 OR m.grantor = bot.oid
    UNION ALL
    SELECT l.oid, l.role, 'onward', pg_get_userbyid(m.member)::text, pg_get_userbyid(m.roleid)::text, NULL
      FROM pg_auth_members m JOIN lasting l ON l.oid = m.grantor
)
SELECT role, kind, database, what, at,
       EXISTS (SELECT FROM pg_roles r, bot
                WHERE r.rolcanlogin AND NOT r.rolsuper AND r.oid NOT IN ({oid}, bot.oid, found.oid)
                  AND pg_has_role(r.oid, found.oid, 'MEMBER')) AS shared
  FROM found
 ORDER BY kind, role, database, what
