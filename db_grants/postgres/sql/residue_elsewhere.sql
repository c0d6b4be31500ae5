SELECT 'pg_roles' FROM pg_roles WHERE oid {equals}
UNION ALL
SELECT 'sessions' FROM pg_stat_get_activity(NULL) WHERE usesysid {equals}
UNION ALL
SELECT 'prepared transactions' FROM pg_prepared_xact() WHERE ownerid {equals}
UNION ALL
SELECT 'user mappings' FROM pg_user_mappings WHERE umuser {equals}
