-- Every role that carries our mark; whoever administers the mark is not one of them.
SELECT r.oid,
       r.rolname AS name,
       r.rolcanlogin AS can_login,
       CASE WHEN isfinite(r.rolvaliduntil) THEN r.rolvaliduntil END AS valid_until,
       shobj_description(r.oid, 'pg_authid') AS comment
  FROM pg_auth_members m
  JOIN pg_roles b ON b.oid = m.roleid
  JOIN pg_roles r ON r.oid = m.member
 WHERE b.rolname = {bookkeeping}
   AND NOT m.admin_option
 ORDER BY r.rolname
