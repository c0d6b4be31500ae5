-- Which of the roles with the OIDs $1 have transactions prepared: they outlive sessions, keep their
-- locks, and can still commit.
SELECT DISTINCT ownerid AS oid FROM pg_prepared_xact() WHERE ownerid = ANY ($1)
