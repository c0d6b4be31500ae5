SELECT 'pg_roles', count(*) FROM pg_roles WHERE oid {equals} HAVING count(*) > 0
UNION ALL
SELECT 'sessions', count(*) FROM pg_stat_activity WHERE usesysid {equals} HAVING count(*) > 0
UNION ALL
SELECT 'prepared transactions', count(*) FROM pg_prepared_xact() WHERE ownerid {equals} HAVING count(*) > 0
UNION ALL
SELECT 'user mappings', count(*) FROM pg_user_mappings WHERE umuser {equals} HAVING count(*) > 0
