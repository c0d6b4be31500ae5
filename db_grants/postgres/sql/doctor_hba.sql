-- Lines of pg_hba.conf that may let in a temporary role by something other than its password. Which
-- line counts for a login is the first that fits, so an earlier one may make these harmless.
SELECT line_number AS line, type, auth_method AS method
  FROM pg_hba_file_rules
 WHERE auth_method NOT IN ('scram-sha-256', 'md5', 'password', 'reject')
   AND (database && ARRAY['all', current_database()::text] OR database::text ~ '[{{,]"?/')
   AND ('all' = ANY (user_name) OR user_name::text ~ '[{{,]"?(/|[+]?jit_)')
 ORDER BY line_number
