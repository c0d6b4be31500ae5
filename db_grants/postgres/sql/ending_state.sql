-- What must be known before the role with OID {oid} is ended: one row, also when it is gone.
SELECT current_setting('server_version_num')::int AS version,
       current_database() AS database,
       (SELECT rolname::text FROM pg_roles WHERE oid = {oid}) AS name,
       (SELECT {ours} FROM pg_roles r WHERE r.oid = {oid}) AS ours,
       ARRAY(SELECT g.rolname::text
               FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
              WHERE m.member = {oid} AND g.rolname <> {bookkeeping}) AS member_of,
       (SELECT count(*) FROM pg_stat_activity WHERE usesysid = {oid}) AS sessions,
       EXISTS (SELECT FROM pg_proc p
                WHERE p.proname = 'lasting_passwords' AND p.pronamespace = to_regnamespace('jit_admin')
                  AND has_function_privilege(p.oid, 'EXECUTE')
                  AND has_schema_privilege(p.pronamespace, 'USAGE')) AS sees_passwords
