-- What the server's log holds of the role, read by the one function that may.
SELECT kind, record FROM jit_admin.statement_log({role}, {since}::timestamptz)
