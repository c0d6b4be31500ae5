-- Cut every session of the roles with the OIDs {oids}. By OID: a session goes on when its role is
-- renamed or dropped, and SET ROLE inside it does not change usesysid.
SELECT usesysid AS oid,
       pid,
       application_name AS application,
       host(client_addr) AS client,
       backend_start AS started_at,
       pg_terminate_backend(pid) AS cut
  FROM pg_stat_activity
 WHERE usesysid = ANY ({oids})
