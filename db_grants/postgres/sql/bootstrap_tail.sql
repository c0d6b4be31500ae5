COMMIT;

-- Worth doing where nothing depends on it: what PUBLIC may do, a temporary role may do as well.
-- REVOKE TEMPORARY ON DATABASE (this one) FROM PUBLIC;         -- temporary tables
-- REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC;  -- other databases of this server
-- REVOKE CREATE ON SCHEMA public FROM PUBLIC;                  -- the default before PostgreSQL 15
-- REVOKE EXECUTE ON FUNCTION lo_create(oid), lo_creat(integer), lo_from_bytea(oid, bytea) FROM PUBLIC;
-- pg_hba.conf: no `trust` line may match a temporary role. For its statement log the server needs
-- logging_collector = on and log_destination = 'jsonlog' (or csvlog); log_connections tells sessions.
