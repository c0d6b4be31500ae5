-- How much the statement log of the role with OID {oid} can tell: whether it is read at all, whether
-- everything the role runs is in it, whether somebody is still adding to it.
SELECT coalesce((SELECT has_function_privilege(p.oid, 'EXECUTE') AND has_schema_privilege(p.pronamespace, 'USAGE')
                   FROM pg_proc p
                  WHERE p.proname = 'statement_log' AND p.pronamespace = to_regnamespace('jit_admin')),
                false) AS readable,
       current_setting('log_statement') = 'all'
           OR NOT EXISTS (SELECT FROM pg_roles WHERE oid = {oid})
           OR EXISTS (SELECT FROM pg_db_role_setting
                       WHERE setrole = {oid} AND 'log_statement=all' = ANY (setconfig)) AS everything,
       EXISTS (SELECT FROM pg_stat_activity WHERE usesysid = {oid}) AS still_there,
       (SELECT n.nspname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
         WHERE e.extname = 'pg_stat_statements') AS counters
