-- What lasting roles have beyond what the bootstrap gave them: scope roles and our mark must own
-- nothing, have no settings, let nobody in. One thing a row. Before 16 the holder of a grant may
-- SET ROLE to them, and what is done so outlives the grant. `shared`: somebody other than the role
-- with OID {oid} may act as that role now, so it may be theirs.
--
-- What the bot may administer is read from its own memberships, which the bootstrap makes directly:
-- pg_has_role would work all of them out again for each of a thousand roles. Everything is asked for
-- by a range of names or by OID, so that live grants, however many, need not be read; and names are
-- only taken apart of what was found to have something.
WITH RECURSIVE bot AS MATERIALIZED (
    SELECT oid, rolsuper, current_setting('server_version_num')::int < 160000 AS before_16
      FROM pg_roles WHERE rolname = current_user
), candidate AS MATERIALIZED (
    SELECT r.oid, r.rolname::text AS role, r.rolcanlogin
      FROM pg_roles r
     WHERE (r.rolname = {bookkeeping}
            OR r.rolname >= 'jit_s_' AND r.rolname < 'jit_s`'
            OR r.rolname >= 'jit_a_' AND r.rolname < 'jit_a`'
            OR r.rolname >= 'jit_u_' AND r.rolname < 'jit_u`')
       AND ((SELECT before_16 OR rolsuper FROM bot)
            OR EXISTS (SELECT FROM pg_auth_members m
                        WHERE m.roleid = r.oid AND m.member = (SELECT oid FROM bot) AND m.admin_option))
), ids AS MATERIALIZED (
    SELECT array_agg(oid) AS of_all FROM candidate
), giver AS ( -- every grantor there is: a few, however many memberships
    SELECT min(grantor) AS oid FROM pg_auth_members
    UNION ALL
    SELECT (SELECT min(grantor) FROM pg_auth_members WHERE grantor > giver.oid) FROM giver WHERE oid IS NOT NULL
), found (oid, kind, database, what, at) AS (
    SELECT s.refobjid, 'owned', coalesce(d.datname, current_database())::text, count(*)::text, NULL::timestamptz
      FROM pg_shdepend s
      LEFT JOIN pg_database d ON d.oid = s.dbid
     WHERE s.refclassid = 'pg_authid'::regclass
       AND s.refobjid = ANY ((SELECT of_all FROM ids)::oid[])
       AND s.deptype = 'o'
     GROUP BY s.refobjid, d.datname
    UNION ALL
    SELECT p.ownerid, 'prepared', d.datname::text, p.gid, p.prepared
      FROM pg_prepared_xact() p JOIN pg_database d ON d.oid = p.dbid
     WHERE p.ownerid = ANY ((SELECT of_all FROM ids)::oid[])
    UNION ALL
    SELECT s.setrole, 'settings', d.datname::text, array_to_string(s.setconfig, ', '), NULL
      FROM pg_db_role_setting s
      LEFT JOIN pg_database d ON d.oid = s.setdatabase
     WHERE s.setdatabase = ANY (ARRAY(SELECT oid FROM pg_database UNION ALL SELECT 0))
       AND s.setrole = ANY ((SELECT of_all FROM ids)::oid[])
    UNION ALL
    SELECT oid, 'login', NULL, NULL, NULL FROM candidate WHERE rolcanlogin
    UNION ALL -- what the bot lent itself, and had no time to give back
    SELECT m.roleid, 'borrowed', NULL, NULL, NULL
      FROM pg_auth_members m
     WHERE m.member = (SELECT oid FROM bot)
       AND ((SELECT before_16 FROM bot) OR m.grantor = m.member)
       AND m.roleid = ANY ((SELECT of_all FROM ids)::oid[])
    UNION ALL
    SELECT m.grantor, 'onward', pg_get_userbyid(m.member)::text, pg_get_userbyid(m.roleid)::text, NULL
      FROM pg_auth_members m
     WHERE m.grantor = ANY (ARRAY(SELECT oid FROM giver JOIN candidate USING (oid)))
)
SELECT role, kind, database, what, at,
       EXISTS (SELECT FROM pg_roles r, bot
                WHERE r.rolcanlogin AND NOT r.rolsuper AND r.oid NOT IN ({oid}, bot.oid, found.oid)
                  AND pg_has_role(r.oid, found.oid, 'MEMBER')) AS shared
  FROM found
  JOIN candidate USING (oid)
 WHERE role = {bookkeeping} OR role ~ {pattern}
 ORDER BY kind, role, database, what
