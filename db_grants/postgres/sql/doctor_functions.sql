-- What is in the functions of the bootstrap; lines may have come with other ends.
SELECT p.proname::text AS name, replace(p.prosrc, E'\r', '') AS body
  FROM pg_proc p
 WHERE p.pronamespace = to_regnamespace('jit_admin')
