-- What the server knows of the role named {role}: one row, or none.
SELECT r.oid,
       r.rolname AS name,
       r.rolcanlogin AS can_login,
       r.rolconnlimit AS connection_limit,
       CASE WHEN isfinite(r.rolvaliduntil) THEN r.rolvaliduntil END AS valid_until,
       r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls AS powerful,
       coalesce(r.rolconfig, ARRAY[]::text[]) AS settings,
       shobj_description(r.oid, 'pg_authid') AS comment,
       ARRAY(SELECT g.rolname::text
               FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
              WHERE m.member = r.oid) AS member_of,
       ARRAY(SELECT g.rolname::text
               FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
              WHERE m.member = r.oid AND pg_has_role(r.oid, g.oid, 'USAGE')) AS privileges_of
  FROM pg_roles r
 WHERE r.rolname = {role}
