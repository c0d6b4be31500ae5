-- Fails by a division by zero unless each role with an OID of $1 is there, has the name beside it in
-- $2, and is ours. Names are looked up by the server itself: planning pg_roles takes longer than the rest.
SELECT 1 / (NOT EXISTS (SELECT FROM unnest($1, $2) AS r (oid, name)
                         WHERE NOT (pg_get_userbyid(r.oid) = r.name AND {ours})))::int AS right
