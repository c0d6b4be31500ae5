-- Every column of the system catalogues that can mention a role, told by its type and its name, so
-- that a catalogue of a version we have not met is searched as well. `first`: an index begins with it.
SELECT c.relname::text AS relation,
       a.attname::text AS attribute,
       CASE WHEN a.atttypid = 'aclitem[]'::regtype THEN 'acl'
            WHEN a.atttypid = 'oid[]'::regtype THEN 'list'
            WHEN c.relname = 'pg_shdepend' THEN 'shared'
            WHEN c.relname = 'pg_db_role_setting' THEN 'setting'
            WHEN EXISTS (SELECT FROM pg_index i
                          WHERE i.indrelid = c.oid AND i.indkey[0] = a.attnum
                            AND i.indisvalid AND i.indpred IS NULL) THEN 'first'
            ELSE 'one' END AS kind
  FROM pg_class c
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE c.relnamespace = 'pg_catalog'::regnamespace
   AND c.relkind = 'r'
   AND has_column_privilege(c.oid, a.attnum, 'SELECT')
   AND (a.atttypid = 'aclitem[]'::regtype
        OR a.atttypid = 'oid'::regtype
           AND (a.attname::text ~ 'owner$' OR a.attname::text IN
                ('datdba', 'umuser', 'defaclrole', 'setrole', 'grantor', 'roleid', 'member', 'refobjid'))
           AND c.relname <> 'pg_depend'
        OR a.atttypid = 'oid[]'::regtype AND a.attname::text = 'polroles')
 ORDER BY 1, 2
