-- What the server's log holds of each role since its time, read by the one function that may.
SELECT role_name, kind, record FROM jit_admin.statement_logs($1, $2)
