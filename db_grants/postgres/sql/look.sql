-- One look at the sessions of the roles with the OIDs $1, told with `ended`; and at who may be on their
-- way: `arriving` are all backends inside a transaction, a login under way among them. One row at least.
--
-- Who is inside a transaction must be read before the sessions: a login reads its role inside a
-- transaction that ends only after the session shows (InitPostgres in utils/init/postinit.c), so one that
-- could still slip in is either here or there. Therefore sessions are asked for with an argument, no pid
-- and so all of them, that is not known before.
--
-- `known` are backends that cannot be a login under way: their user is known, or they serve nobody. By
-- OID: a session goes on when its role is renamed or dropped, and SET ROLE inside it does not change it.
SELECT before.pids AS arriving,
       a.pid,
       a.usesysid IS NOT NULL OR a.backend_type <> 'client backend' AS known,
       coalesce(a.usesysid = ANY ($1), false) AS ended,
       a.usesysid AS oid,
       a.application_name AS application,
       host(a.client_addr) AS client,
       a.backend_start AS started_at
  FROM (SELECT array_agg(pid) AS pids, nullif(count(*), count(*))::int AS all_of_them
          FROM pg_locks
         WHERE locktype = 'virtualxid' AND pid <> pg_backend_pid()) AS before
  LEFT JOIN LATERAL pg_stat_get_activity(before.all_of_them) AS a
    ON a.usesysid = ANY ($1) OR a.pid = ANY (before.pids)
