-- The database of every setting there is, 0 for all databases. Read off the index, which begins with
-- it: a few of them, however many roles have settings.
WITH RECURSIVE known AS (
    SELECT min(setdatabase) AS oid FROM pg_db_role_setting
    UNION ALL
    SELECT (SELECT min(setdatabase) FROM pg_db_role_setting WHERE setdatabase > known.oid)
      FROM known WHERE oid IS NOT NULL
)
SELECT oid FROM known
