-- Every backend inside a transaction, a login under way among them. Asked before the sessions: a
-- login reads its role inside a transaction that ends only after the session shows in
-- pg_stat_activity (InitPostgres in utils/init/postinit.c), so one that could still slip in is
-- either here or there.
SELECT pid FROM pg_locks WHERE locktype = 'virtualxid' AND pid <> pg_backend_pid()
