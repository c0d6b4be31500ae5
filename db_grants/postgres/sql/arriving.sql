-- Every backend inside a transaction, a login under way among them. Asked before the sessions: see
-- `sql/look.sql`.
SELECT pid FROM pg_locks WHERE locktype = 'virtualxid' AND pid <> pg_backend_pid()
