-- What must be known before the role with OID {oid} is ended: one row, also when it is gone.
SELECT current_setting('server_version_num')::int AS version,
       current_database() AS database,
       (SELECT rolname::text FROM pg_roles WHERE oid = {oid}) AS name,
       ARRAY(SELECT g.rolname::text
               FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
              WHERE m.member = {oid} AND g.rolname <> {bookkeeping}) AS member_of,
       ARRAY(SELECT u.rolname::text
               FROM pg_roles u
              WHERE starts_with(u.rolname, {subset_prefix})
                AND NOT EXISTS (SELECT FROM pg_auth_members m WHERE m.roleid = u.oid
                                   AND NOT m.admin_option)
                -- A session that lost its membership may, before 16, still act as such a role until
                -- it is cut; what it prepared as a role that is gone only a superuser could end.
                AND NOT EXISTS (SELECT FROM pg_auth_members m
                                  JOIN pg_roles b ON b.oid = m.roleid AND b.rolname = {bookkeeping}
                                  JOIN pg_roles r ON r.oid = m.member AND NOT r.rolcanlogin
                                  JOIN pg_stat_activity a ON a.usesysid = r.oid)) AS unused_subsets,
       (SELECT count(*) FROM pg_stat_activity WHERE usesysid = {oid}) AS sessions,
       EXISTS (SELECT FROM pg_proc p
                WHERE p.proname = 'lasting_passwords' AND p.pronamespace = to_regnamespace('jit_admin')
                  AND has_function_privilege(p.oid, 'EXECUTE')
                  AND has_schema_privilege(p.pronamespace, 'USAGE')) AS sees_passwords
