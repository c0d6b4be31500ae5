-- What {role} owns in this database. Temporary objects go with their session; default privileges
-- cannot be handed over.
SELECT pg_describe_object(classid, objid, 0) AS description,
       classid = 'pg_default_acl'::regclass AS preset,
       coalesce((pg_identify_object(classid, objid, 0)).schema ~ '^pg_temp', false) AS temporary
  FROM pg_shdepend
 WHERE refclassid = 'pg_authid'::regclass
   AND refobjid = (SELECT oid FROM pg_roles WHERE rolname = {role})
   AND deptype = 'o'
   AND dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
 ORDER BY 1
