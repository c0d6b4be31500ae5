-- Counts of normalised statements; they outlive the role, and hold no literals and no times.
SELECT query, calls FROM {schema}.pg_stat_statements WHERE userid = {oid} AND toplevel
