-- Sessions of the roles with the OIDs $1. By OID: a session goes on when its role is renamed or
-- dropped, and SET ROLE inside it does not change usesysid.
SELECT usesysid AS oid,
       pid,
       application_name AS application,
       host(client_addr) AS client,
       backend_start AS started_at
  FROM pg_stat_activity
 WHERE usesysid = ANY ($1)
