-- Prepared transactions that may keep the row of the role with OID {oid} locked: its own, and those
-- of lasting roles that changed some role. Nobody has a good reason for the latter.
SELECT CASE p.ownerid WHEN {oid} THEN 'own' ELSE 'prepared' END AS kind,
       r.rolname::text AS role, d.datname::text AS database, p.gid AS what, p.prepared AS at
  FROM pg_prepared_xact() p
  JOIN pg_database d ON d.oid = p.dbid
  JOIN pg_roles r ON r.oid = p.ownerid
 WHERE p.ownerid = {oid}
    OR ((r.rolname = {bookkeeping} OR r.rolname ~ {pattern})
        AND EXISTS (SELECT FROM pg_locks x
                      JOIN pg_locks l ON l.virtualtransaction = x.virtualtransaction AND l.pid IS NULL
                     WHERE x.transactionid = p.transaction AND x.pid IS NULL
                       AND l.relation = 'pg_authid'::regclass AND l.mode = 'RowExclusiveLock'))
 ORDER BY p.prepared
