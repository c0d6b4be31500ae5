-- Fails by a division by zero unless the role with OID $1 is named $2, ours and open, and the server's
-- clock is not past $3.
SELECT 1 / (EXISTS (SELECT FROM pg_roles r
                     WHERE r.oid = $1
                       AND r.rolname = $2
                       AND r.rolcanlogin
                       AND NOT (r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication
                                OR r.rolbypassrls)
                       AND EXISTS (SELECT FROM pg_auth_members m
                                     JOIN pg_roles b ON b.oid = m.roleid AND b.rolname = {bookkeeping}
                                    WHERE m.member = r.oid))
            AND clock_timestamp() < $3)::int AS right
