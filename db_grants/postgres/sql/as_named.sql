-- Fails by a division by zero unless each role with an OID of $1 is there, has the name beside it in
-- $2, and is ours. OFFSET 0: each is looked up by itself, however many roles there are.
SELECT 1 / (NOT EXISTS (SELECT FROM unnest($1, $2) AS wanted (oid, name)
                         WHERE NOT EXISTS (SELECT FROM pg_roles r
                                            WHERE r.oid = wanted.oid AND r.rolname = wanted.name AND {ours}
                                           OFFSET 0)))::int AS right
