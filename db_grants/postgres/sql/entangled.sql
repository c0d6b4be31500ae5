-- Which of the roles with the OIDs $1 have something that outlives their sessions: transactions prepared,
-- which keep locks and can still commit; objects, of which a view or a function goes on giving others
-- what its owner may.
SELECT ownerid AS oid FROM pg_prepared_xact() WHERE ownerid = ANY ($1)
UNION
SELECT ended.oid
  FROM unnest($1) AS ended (oid)
 WHERE EXISTS (SELECT FROM pg_shdepend -- by its index: a range, even of one, seems rare to the planner
                WHERE refclassid = 'pg_authid'::regclass AND refobjid BETWEEN ended.oid AND ended.oid
               OFFSET 0)
