-- What the server's log holds of the role, read by the one function that an earlier bootstrap made.
SELECT {role} AS role_name, kind, record FROM jit_admin.statement_log({role}, {since}::timestamptz)
