-- The role named $1, made in this transaction: at most $2 connections, valid until $3, a member of $4
-- (which carries atoms with the digest $5) and of our mark, its statements logged if $6. Fails by a
-- division by zero when anything of that is not so, or when the server's clock is past $7, or not
-- between $8 and $9.
SELECT r.oid,
       1 / coalesce(
           r.rolcanlogin
           AND NOT (r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls)
           AND r.rolconnlimit = $2
           AND r.rolvaliduntil = $3
           AND (NOT $6 OR EXISTS (SELECT FROM pg_db_role_setting s
                                   WHERE s.setdatabase = 0 AND s.setrole = r.oid
                                     AND 'log_statement=all' = ANY (s.setconfig)))
           AND (SELECT count(*) = 2
                       AND bool_or(pg_get_userbyid(m.roleid) = $4 AND {inherits})
                       AND bool_or(pg_get_userbyid(m.roleid) = {bookkeeping})
                  FROM pg_auth_members m
                 WHERE m.member = r.oid)
           AND $5 = (SELECT encode(sha256(convert_to(
                            ARRAY(SELECT DISTINCT pg_get_userbyid(m.roleid) AS atom
                                    FROM pg_auth_members m WHERE m.member = g.oid
                                   ORDER BY atom)::text, 'UTF8')), 'hex')
                       FROM pg_roles g WHERE g.rolname = $4)
           AND clock_timestamp() < $7
           AND clock_timestamp() BETWEEN $8 AND $9,
           false)::int AS right
  FROM pg_roles r
 WHERE r.rolname = $1
