-- Fails by a division by zero unless the roles with the OIDs $1 are named as in $2 beside them, are
-- ours, and nothing but DROP ROLE is to be done: no session, nothing prepared, and what more is asked
-- of scope roles. What else may hang on a role makes DROP ROLE itself fail.
--
-- It notes besides what the search behind the drop will want to know, and tells whether any role of a
-- narrowed scope may be of no more use when these are gone.
SELECT 1 / (NOT EXISTS (SELECT FROM unnest($1, $2) AS r (oid, name) -- as `sql/as_named.sql`
                         WHERE NOT (pg_get_userbyid(r.oid) = r.name AND {ours}))
            AND NOT EXISTS (SELECT FROM pg_stat_get_activity(NULL) WHERE usesysid = ANY ($1))
            AND NOT EXISTS (SELECT FROM pg_prepared_xact() WHERE ownerid = ANY ($1))
            {more})::int AS right,
       ({note}) AS since,
       EXISTS (SELECT FROM pg_roles u
                WHERE u.rolname >= 'jit_u_' AND u.rolname < 'jit_u`'{listed}
                  AND NOT EXISTS (SELECT FROM pg_auth_members m
                                   WHERE m.roleid = u.oid AND NOT m.admin_option AND m.member <> ALL ($1)))
           AS spare
