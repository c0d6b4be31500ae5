-- The server and the bot's own role, in one row.
SELECT current_setting('server_version_num')::int AS version,
       current_database()::text AS database,
       quote_ident(current_database()) AS quoted,
       current_user::text AS bot,
       r.rolsuper AS superuser,
       r.rolcreaterole AS createrole,
       current_setting('server_version_num')::int < 160000 AS before_16,
       r.rolinherit AS inherit,
       to_regrole('jit_managed') IS NOT NULL AS bookkeeping,
       to_regrole('jit_quarantine') IS NOT NULL
           AND pg_has_role(r.oid, to_regrole('jit_quarantine')::oid, 'USAGE') AS quarantine,
       has_parameter_privilege('log_statement', 'SET') AS may_log,
       pg_has_role('pg_read_all_stats', 'USAGE') AS sees_sessions,
       EXISTS (SELECT FROM pg_proc p -- the latter was made by an earlier bootstrap
                WHERE p.proname IN ('statement_logs', 'statement_log') AND p.pronamespace = to_regnamespace('jit_admin')
                  AND has_function_privilege(p.oid, 'EXECUTE')
                  AND has_schema_privilege(p.pronamespace, 'USAGE')) AS log_reader,
       EXISTS (SELECT FROM pg_proc p
                WHERE p.proname = 'statement_log' AND p.pronamespace = to_regnamespace('jit_admin')
                  AND has_function_privilege(p.oid, 'EXECUTE'))
           AND NOT EXISTS (SELECT FROM pg_proc p
                            WHERE p.proname = 'statement_logs' AND p.pronamespace = to_regnamespace('jit_admin')
                              AND has_function_privilege(p.oid, 'EXECUTE')) AS log_reader_is_earlier,
       {deputies} AND NOT EXISTS (SELECT FROM pg_proc p JOIN pg_roles o ON o.oid = p.proowner
                                   WHERE p.pronamespace = to_regnamespace('jit_admin') AND NOT o.rolsuper)
           AS deputies,
       {all_deputies} AS all_deputies,
       -- Power over roles of its own, which it needs as long as it lacks some of those functions.
       (SELECT count(*) FROM pg_auth_members o JOIN pg_roles g ON g.oid = o.roleid
         WHERE o.member = r.oid AND o.admin_option
           AND (g.rolname ~ {lasting} OR g.rolname ~ {temporary})) AS administers,
       -- Neither by those functions nor by power of its own.
       (SELECT count(*) FROM pg_auth_members o JOIN pg_roles r ON r.oid = o.member
         WHERE o.roleid = to_regrole('jit_managed') AND NOT o.admin_option
           AND starts_with(shobj_description(r.oid, 'pg_authid'), '{{"grant":')
           AND NOT
{can_end}
       ) AS beyond_us,
       EXISTS (SELECT FROM pg_proc p
                WHERE p.proname = 'lasting_passwords' AND p.pronamespace = to_regnamespace('jit_admin')
                  AND has_function_privilege(p.oid, 'EXECUTE')
                  AND has_schema_privilege(p.pronamespace, 'USAGE')) AS sees_passwords,
       has_table_privilege('pg_hba_file_rules', 'SELECT')
           AND has_function_privilege('pg_hba_file_rules()', 'EXECUTE') AS sees_hba,
       current_setting('max_prepared_transactions')::int AS prepared,
       EXISTS (SELECT FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
                WHERE d.datname = current_database() AND a.grantee = 0
                  AND a.privilege_type = 'TEMPORARY') AS public_temp,
       EXISTS (SELECT FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
                WHERE n.nspname = 'public' AND a.grantee = 0
                  AND a.privilege_type = 'CREATE') AS public_create,
       extract(epoch FROM clock_timestamp())::float8 AS clock
  FROM pg_roles r
 WHERE r.rolname = current_user
