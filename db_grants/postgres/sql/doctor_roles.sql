-- The scope roles among {roles}: whether the bot may hand them out, and what they are members of.
SELECT r.rolname::text AS name,
       r.rolcanlogin OR r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls
           AS powerful,
       pg_has_role(r.oid, 'USAGE WITH ADMIN OPTION') AS administered,
       ARRAY(SELECT a.rolname::text FROM pg_auth_members m JOIN pg_roles a ON a.oid = m.roleid
              WHERE m.member = r.oid) AS carries
  FROM pg_roles r
 WHERE r.rolname = ANY ({roles}::text[])
