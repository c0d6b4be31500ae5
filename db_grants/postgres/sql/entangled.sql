-- Which of the roles with the OIDs $1 have something that outlives their sessions: transactions prepared,
-- which keep locks and can still commit; objects, of which a view or a function goes on giving others
-- what its owner may.
SELECT ownerid AS oid FROM pg_prepared_xact() WHERE ownerid = ANY ($1)
UNION
SELECT refobjid FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND refobjid = ANY ($1)
