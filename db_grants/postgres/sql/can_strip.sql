-- Whether the bot may call the bootstrap's function here, and it is a superuser's: in a database that was
-- never prepared somebody else could have made one of that name.
SELECT coalesce(has_schema_privilege(p.pronamespace, 'USAGE') AND has_function_privilege(p.oid, 'EXECUTE')
                AND o.rolsuper AND p.prosecdef, false) AS may
  FROM pg_proc p JOIN pg_roles o ON o.oid = p.proowner JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE n.nspname = 'jit_admin' AND p.proname = 'strip_quarantined' AND p.pronargs = 0
