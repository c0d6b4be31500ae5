-- Counts of normalised statements; they outlive the role, and hold no literals and no times.
SELECT userid AS oid, query, calls FROM {schema}.pg_stat_statements WHERE userid = ANY ({oids}) AND toplevel
