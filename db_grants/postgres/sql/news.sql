-- What a connection learns of its server, and again from time to time: the clock, a transaction before
-- which all are over, and which functions of the bootstrap may be called.
SELECT clock_timestamp() AS at,
       pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS horizon,
       {deputies} AS deputies,
       {all_deputies} AS all_deputies
