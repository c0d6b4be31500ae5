AND NOT EXISTS (SELECT FROM unnest($1) AS ended (oid), LATERAL -- none could SET ROLE to a scope role
                  (SELECT FROM pg_auth_members WHERE member = ended.oid AND set_option OFFSET 0) AS unbound)
