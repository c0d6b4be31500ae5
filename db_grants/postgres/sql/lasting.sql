-- What lasting roles have beyond what the bootstrap gave them: scope roles and our mark must own
-- nothing, have no settings, let nobody in. One thing a row. Before 16 the holder of a grant may
-- SET ROLE to them, and what is done so outlives the grant. `shared`: somebody other than the role
-- with OID {oid} may act as that role now, so it may be theirs.
--
-- Everything is asked for by a range of names or by OID, so that live grants, however many, need not be
-- read; and whether a role is one of ours, and the bot can do something about it, is only asked of what was
-- found to have something. Where it needs power of its own, that is read from its memberships, which the
-- bootstrap made directly: pg_has_role would work all of them out again.
WITH RECURSIVE bot AS MATERIALIZED (
    SELECT oid, rolsuper, current_setting('server_version_num')::int < 160000 AS before_16
      FROM pg_roles WHERE rolname = current_user
), candidate AS MATERIALIZED (
    SELECT oid, rolcanlogin
      FROM pg_roles
     WHERE rolname = {bookkeeping}
        OR rolname >= 'jit_s_' AND rolname < 'jit_s`'
        OR rolname >= 'jit_a_' AND rolname < 'jit_a`'
        OR rolname >= 'jit_u_' AND rolname < 'jit_u`'
), ids AS MATERIALIZED (
    SELECT array_agg(oid) AS of_all, min(oid) AS lowest, max(oid) AS highest FROM candidate
), giver AS ( -- every grantor there is: a few, however many memberships
    SELECT min(grantor) AS oid FROM pg_auth_members
    UNION ALL
    SELECT (SELECT min(grantor) FROM pg_auth_members WHERE grantor > giver.oid) FROM giver WHERE oid IS NOT NULL
), given AS ( -- by lasting roles; before 16 no index tells who gave a membership: they are all read, once
    SELECT m.grantor, m.member, m.roleid
      FROM giver, LATERAL (SELECT * FROM pg_auth_members WHERE grantor = giver.oid OFFSET 0) AS m
     WHERE NOT (SELECT before_16 FROM bot) AND giver.oid = ANY ((SELECT of_all FROM ids)::oid[])
    UNION ALL
    SELECT grantor, member, roleid -- IS TRUE: looked up in a hash, not sorted for a join
      FROM pg_auth_members
     WHERE (SELECT before_16 FROM bot) AND (grantor IN (SELECT oid FROM candidate)) IS TRUE
), found (oid, kind, database, what, at) AS (
    SELECT s.refobjid, 'owned', coalesce(d.datname, current_database())::text, count(*)::text, NULL::timestamptz
      FROM pg_shdepend s
      LEFT JOIN pg_database d ON d.oid = s.dbid
     WHERE s.refclassid = 'pg_authid'::regclass
       AND s.refobjid = ANY ((SELECT of_all FROM ids)::oid[])
       -- Says nothing new, but that it is few; here and below. Or else the planner, with many live grants
       -- of few scopes, reads all dependencies there are.
       AND s.refobjid BETWEEN (SELECT lowest FROM ids) AND (SELECT highest FROM ids)
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
     WHERE s.setdatabase = ANY (ARRAY({setting_databases}))
       AND s.setrole = ANY ((SELECT of_all FROM ids)::oid[])
       AND s.setrole BETWEEN (SELECT lowest FROM ids) AND (SELECT highest FROM ids)
    UNION ALL
    SELECT oid, 'login', NULL, NULL, NULL FROM candidate WHERE rolcanlogin
    UNION ALL -- what was lent to the bot, and not given back: by the index, as a range of one
    SELECT m.roleid, 'borrowed', NULL, NULL, NULL
      FROM bot, LATERAL (SELECT roleid, admin_option FROM pg_auth_members
                          WHERE member BETWEEN bot.oid AND bot.oid
                            AND roleid BETWEEN (SELECT lowest FROM ids) AND (SELECT highest FROM ids)
                         OFFSET 0) AS m
     WHERE (before_16 OR NOT m.admin_option)
       AND m.roleid = ANY ((SELECT of_all FROM ids)::oid[])
    UNION ALL
    SELECT grantor, 'onward', pg_get_userbyid(member)::text, pg_get_userbyid(roleid)::text, NULL FROM given
)
SELECT role, kind, database, what, at,
       EXISTS (SELECT FROM pg_roles r, bot
                WHERE r.rolcanlogin AND NOT r.rolsuper AND r.oid NOT IN ({oid}, bot.oid, found.oid)
                  AND pg_has_role(r.oid, found.oid, 'MEMBER')) AS shared
  FROM found, bot, LATERAL (SELECT rolname::text AS role FROM pg_roles r WHERE r.oid = found.oid OFFSET 0) AS named
 WHERE (role = {bookkeeping} OR role ~ {pattern})
   AND {ours}
 ORDER BY kind, role, database, what
