-- Whether the target is prepared for granting the role {granted}, which should carry {atoms}.
SELECT current_setting('server_version_num')::int AS version,
       EXISTS (SELECT FROM pg_roles WHERE rolname = {bookkeeping}) AS bookkeeping,
       EXISTS (SELECT FROM pg_roles WHERE rolname = {granted}) AS granted,
       ARRAY(SELECT a.rolname::text
               FROM pg_auth_members m
               JOIN pg_roles a ON a.oid = m.roleid
               JOIN pg_roles g ON g.oid = m.member
              WHERE g.rolname = {granted}) AS carried,
       ARRAY(SELECT rolname::text FROM pg_roles WHERE rolname = ANY ({atoms}::text[])) AS atoms
