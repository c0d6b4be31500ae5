-- Fails by a division by zero unless each role with an OID of $1 is there, has the name beside it in
-- $2, and is ours.
SELECT 1 / (NOT EXISTS (SELECT FROM unnest($1, $2) AS wanted (oid, name)
                          LEFT JOIN pg_roles r ON r.oid = wanted.oid
                         WHERE r.rolname IS DISTINCT FROM wanted.name OR NOT {ours}))::int AS right
