-- Roles of narrowed scopes that no grant uses any more.
SELECT u.rolname::text AS name
  FROM pg_roles u
 WHERE u.rolname >= 'jit_u_' AND u.rolname < 'jit_u`' AND u.rolname ~ {pattern}{listed}
   AND NOT EXISTS (SELECT FROM pg_auth_members m WHERE m.roleid = u.oid AND NOT m.admin_option)
   -- A session that lost its membership may, before 16, still act as such a role until it is cut;
   -- what it prepared as a role that is gone only a superuser could end. Asked of sessions, not of all
   -- grants; and, by the comparison with u, only when there is such a role.
   AND NOT EXISTS (SELECT FROM pg_stat_activity a
                     JOIN pg_roles r ON r.oid = a.usesysid AND NOT r.rolcanlogin AND r.oid <> u.oid
                    WHERE EXISTS (SELECT FROM pg_auth_members m
                                    JOIN pg_roles b ON b.oid = m.roleid AND b.rolname = {bookkeeping}
                                   WHERE m.member = r.oid OFFSET 0))
