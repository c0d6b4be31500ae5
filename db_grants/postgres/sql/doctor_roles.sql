-- The scope roles among {roles}: whether they may be handed out, and what they are members of.
SELECT r.rolname::text AS name,
       r.rolcanlogin OR r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls
           AS powerful,
       {handed_out} AS handed_out,
       ARRAY(SELECT a.rolname::text FROM pg_auth_members m JOIN pg_roles a ON a.oid = m.roleid
              WHERE m.member = r.oid) AS carries
  FROM pg_roles r
 WHERE r.rolname = ANY ({roles}::text[])
