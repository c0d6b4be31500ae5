-- What may still be there of a role besides catalogue columns.
SELECT 'the role itself' AS what WHERE EXISTS (SELECT FROM pg_roles WHERE oid = {oid})
UNION ALL
SELECT 'a session, pid ' || pid FROM pg_stat_activity WHERE usesysid = {oid}
UNION ALL
SELECT 'the prepared transaction ' || gid FROM pg_prepared_xact() WHERE ownerid = {oid}
UNION ALL
SELECT 'a user mapping for ' || srvname FROM pg_user_mappings WHERE umuser = {oid}
