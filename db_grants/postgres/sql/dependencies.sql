-- Where the server's own index of dependencies mentions the role with OID {oid}, by database
-- (dbid 0: objects of the whole cluster), and what it has prepared and not committed.
SELECT coalesce(d.datname, current_database())::text AS database,
       count(*) FILTER (WHERE s.deptype = 'o') AS owned,
       count(*) AS mentions
  FROM pg_shdepend s
  LEFT JOIN pg_database d ON d.oid = s.dbid
 WHERE s.refclassid = 'pg_authid'::regclass
   AND s.refobjid = {oid}
 GROUP BY 1
 ORDER BY 1
