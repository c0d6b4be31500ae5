-- Keep for the search that follows before which transaction nothing can have known of the roles with
-- the OIDs $1, as far as all of them have it noted: it is behind their DROP ROLE, and the note is not.
SELECT set_config('jit.since', $1::text || ' ' || coalesce(min(noted.since), 0), false)
  FROM (SELECT coalesce(substring(shobj_description(oid, 'pg_authid') FROM '"since": (\d{{1,18}})\D')::bigint, 0)
          FROM unnest($1) AS oid) AS noted (since)
