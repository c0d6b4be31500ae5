-- What must be known before the role with OID {oid} is ended: one row, also when it is gone.
SELECT current_setting('server_version_num')::int AS version,
       current_database() AS database,
       (SELECT rolname::text FROM pg_roles WHERE oid = {oid}) AS name,
       ARRAY(SELECT g.rolname::text
               FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
              WHERE m.member = {oid} AND g.rolname <> {bookkeeping}) AS member_of,
       ARRAY(SELECT u.rolname::text
               FROM pg_roles u
              WHERE starts_with(u.rolname, {subset_prefix})
                AND NOT EXISTS (SELECT FROM pg_auth_members m WHERE m.roleid = u.oid
                                   AND NOT m.admin_option)) AS unused_subsets,
       (SELECT count(*) FROM pg_stat_activity WHERE usesysid = {oid}) AS sessions
