-- What {roles} hold in this database, one privilege a row: on a table, or a column of it, or another
-- kind of object.
SELECT pg_get_userbyid(grantee)::text AS role, kind, schema, name, attribute,
       privilege_type AS privilege, is_grantable AS onward
  FROM (
        SELECT CASE relkind WHEN 'S' THEN 'sequence' ELSE 'table' END AS kind,
               relnamespace AS nsp, relname::text AS name, '' AS attribute, relacl AS acl
          FROM pg_class WHERE relacl IS NOT NULL
        UNION ALL
        SELECT 'table', relnamespace, relname, attname, attacl
          FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE attacl IS NOT NULL
        UNION ALL
        SELECT 'schema', oid, nspname, '', nspacl FROM pg_namespace WHERE nspacl IS NOT NULL
        UNION ALL
        SELECT 'database', NULL, datname, '', datacl
          FROM pg_database WHERE datacl IS NOT NULL AND datname = current_database()
        UNION ALL
        SELECT 'function', pronamespace, proname, '', proacl FROM pg_proc WHERE proacl IS NOT NULL
       ) AS object (kind, nsp, name, attribute, acl)
 CROSS JOIN LATERAL aclexplode(acl) AS held
  LEFT JOIN LATERAL (SELECT nspname::text AS schema FROM pg_namespace WHERE oid = nsp) AS namespace ON true
 WHERE grantee IN (SELECT oid FROM pg_roles WHERE rolname = ANY ({roles}::text[]))
