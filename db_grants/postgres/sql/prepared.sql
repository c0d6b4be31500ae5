-- Transactions the role with OID {oid} prepared: they outlive its sessions, keep their locks, and can
-- still commit.
SELECT p.gid, d.datname::text AS database
  FROM pg_prepared_xact() p
  JOIN pg_database d ON d.oid = p.dbid
 WHERE p.ownerid = {oid}
 ORDER BY p.prepared
