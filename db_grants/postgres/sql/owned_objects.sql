-- What the role with OID {oid} owns in this database, in the server's words; but for default privileges,
-- which nobody can take over: they go with the role.
SELECT pg_describe_object(classid, objid, 0) AS description
  FROM pg_shdepend
 WHERE refclassid = 'pg_authid'::regclass
   AND refobjid = {oid}
   AND deptype = 'o'
   AND classid <> 'pg_default_acl'::regclass
   AND dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
 ORDER BY 1
