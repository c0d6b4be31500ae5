-- How much the statement log of the roles with the OIDs $1 can tell: by which function it is read,
-- if at all, and whether the ends of sessions are in it; whether everything the role runs is, and
-- whether somebody is still adding to it.
SELECT asked.oid,
       (SELECT p.proname::text FROM pg_proc p
         WHERE p.proname IN ('statement_logs', 'statement_log') AND p.pronamespace = to_regnamespace('jit_admin')
           AND has_function_privilege(p.oid, 'EXECUTE') AND has_schema_privilege(p.pronamespace, 'USAGE')
         ORDER BY p.proname DESC LIMIT 1) AS reader,
       current_setting('log_disconnections')::boolean AS ends_told,
       current_setting('log_statement') = 'all'
           OR NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = asked.oid)
           OR EXISTS (SELECT FROM pg_db_role_setting
                       WHERE setrole = asked.oid AND setdatabase = 0
                         AND 'log_statement=all' = ANY (setconfig)) AS everything,
       asked.oid IN (SELECT usesysid FROM pg_stat_activity WHERE usesysid IS NOT NULL) AS still_there,
       (SELECT n.nspname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
         WHERE e.extname = 'pg_stat_statements') AS counters
  FROM (SELECT unnest($1) AS oid) AS asked
