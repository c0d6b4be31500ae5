-- What was added since they were last read, a moment ago: more than 8 MB it cannot be.
SELECT role_name, kind, record
  FROM jit_admin.statement_logs({roles}::text[], array_fill(now(), ARRAY[cardinality({roles}::text[])]), 8388608)
 WHERE role_name IS NOT NULL
