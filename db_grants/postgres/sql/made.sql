-- The role named $1, made in this transaction: at most $2 connections, valid until $3, a member of $4
-- (which carries atoms with the digest $5) and of our mark, its statements logged if $6. Fails by a
-- division by zero when anything of that is not so, or when the server's clock is past $7.
SELECT r.oid,
       1 / coalesce(
           r.rolcanlogin
           AND NOT (r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls)
           AND r.rolconnlimit = $2
           AND r.rolvaliduntil = $3
           AND (NOT $6 OR 'log_statement=all' = ANY (r.rolconfig))
           AND (SELECT count(*) = 2
                       AND bool_or(g.rolname = $4 AND {inherits})
                       AND bool_or(g.rolname = {bookkeeping})
                  FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
                 WHERE m.member = r.oid)
           AND $5 = (SELECT encode(sha256(convert_to(
                            ARRAY(SELECT DISTINCT pg_get_userbyid(m.roleid) AS atom
                                    FROM pg_auth_members m WHERE m.member = g.oid
                                   ORDER BY atom)::text, 'UTF8')), 'hex')
                       FROM pg_roles g WHERE g.rolname = $4)
           AND clock_timestamp() < $7,
           false)::int AS right
  FROM pg_roles r
 WHERE r.rolname = $1
