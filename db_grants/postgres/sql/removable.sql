-- Fails by a division by zero unless the roles with the OIDs $1 are named as in $2 beside them, are
-- ours, and nothing but DROP ROLE is to be done: no session, nothing prepared, and what more is asked
-- of scope roles. What else may hang on a role makes DROP ROLE itself fail.
SELECT 1 / (NOT EXISTS (SELECT FROM unnest($1, $2) AS wanted (oid, name) -- as `sql/as_named.sql`
                         WHERE NOT EXISTS (SELECT FROM pg_roles r
                                            WHERE r.oid = wanted.oid AND r.rolname = wanted.name AND {ours}
                                           OFFSET 0))
            AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE usesysid = ANY ($1))
            AND NOT EXISTS (SELECT FROM pg_prepared_xact() WHERE ownerid = ANY ($1))
            {more})::int AS right
