-- Keep for the search that follows before which transaction nothing can have known of the roles with
-- the OIDs $1, as far as all of them have it noted: it is behind their DROP ROLE, and the note is not.
-- The note is read where shobj_description would: a call of that for each role takes much longer.
SELECT set_config('jit.since', $1::text || ' ' || coalesce(min(noted.since), 0), false)
  FROM (SELECT coalesce(substring(d.description FROM '"since": (\d{{1,18}})\D')::bigint, 0)
          FROM unnest($1) AS role (oid)
          LEFT JOIN pg_shdescription d ON d.objoid = role.oid AND d.classoid = 'pg_authid'::regclass)
       AS noted (since)
