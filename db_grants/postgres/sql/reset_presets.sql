-- Bring the default privileges of {role} in this database back to the server's own: an entry that
-- says nothing else is deleted by the server.
DO $presets$
DECLARE
    owner CONSTANT name := {role};
    entry record;
BEGIN
    FOR entry IN
        SELECT CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'ROUTINES'
                                    WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' ELSE 'LARGE OBJECTS' END AS kind,
               coalesce('IN SCHEMA ' || quote_ident(n.nspname), '') AS place,
               d.defaclnamespace = 0 AS everywhere,
               ARRAY(SELECT DISTINCT CASE grantee WHEN 0 THEN 'PUBLIC'
                                     ELSE quote_ident(pg_get_userbyid(grantee)) END
                       FROM aclexplode(d.defaclacl)) AS grantees,
               CASE d.defaclobjtype WHEN 'f' THEN 'EXECUTE' WHEN 'T' THEN 'USAGE' END AS for_all
          FROM pg_default_acl d
          JOIN pg_roles r ON r.oid = d.defaclrole AND r.rolname = owner
          LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
    LOOP
        IF cardinality(entry.grantees) > 0 THEN
            EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I %s REVOKE ALL ON %s FROM %s CASCADE',
                           owner, entry.place, entry.kind, array_to_string(entry.grantees, ', '));
        END IF;
        IF entry.everywhere THEN
            EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I GRANT ALL ON %s TO %I',
                           owner, entry.kind, owner);
        END IF;
        IF entry.everywhere AND entry.for_all IS NOT NULL THEN
            EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I GRANT %s ON %s TO PUBLIC',
                           owner, entry.for_all, entry.kind);
        END IF;
    END LOOP;
END
$presets$
