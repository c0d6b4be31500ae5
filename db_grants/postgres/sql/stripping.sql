DECLARE
    quarantine CONSTANT oid := (SELECT oid FROM pg_roles WHERE rolname = 'jit_quarantine');
    entry record;
BEGIN
    FOR entry IN
        WITH owned (kind, identity, acl) AS (
            SELECT CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, oid::regclass::text,
                   coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner))
              FROM pg_class WHERE relowner = quarantine AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
            UNION ALL
            SELECT 'TABLE', attrelid::regclass::text, attacl
              FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
             WHERE relowner = quarantine AND attacl IS NOT NULL
            UNION ALL
            SELECT 'ROUTINE', oid::regprocedure::text, coalesce(proacl, acldefault('f', proowner))
              FROM pg_proc WHERE proowner = quarantine
            UNION ALL
            SELECT 'TYPE', oid::regtype::text, coalesce(typacl, acldefault('T', typowner))
              FROM pg_type WHERE typowner = quarantine AND typrelid = 0 AND typelem = 0
            UNION ALL
            SELECT 'SCHEMA', oid::regnamespace::text, nspacl FROM pg_namespace WHERE nspowner = quarantine
            UNION ALL
            SELECT 'LARGE OBJECT', oid::text, lomacl FROM pg_largeobject_metadata WHERE lomowner = quarantine
        )
        SELECT DISTINCT kind, identity,
               CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS grantee
          FROM owned, aclexplode(acl)
         WHERE aclexplode.grantee <> quarantine
    LOOP
        EXECUTE format('REVOKE ALL ON %s %s FROM %s CASCADE', entry.kind, entry.identity, entry.grantee);
    END LOOP;
END
