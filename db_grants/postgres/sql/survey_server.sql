-- Which server this is and what time it has. One row.
SELECT clock_timestamp() AS at,
       (SELECT system_identifier::text FROM pg_control_system()) AS identifier,
       (SELECT timeline_id FROM pg_control_checkpoint()) AS timeline,
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END
           - '0/0'::pg_lsn AS written,
       EXISTS (SELECT FROM pg_roles WHERE rolname = {bookkeeping}) AS prepared
