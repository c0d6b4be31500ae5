-- Backends that cannot be a login under way: their user is known, or they serve nobody.
SELECT pid
  FROM pg_stat_activity
 WHERE usesysid IS NOT NULL OR backend_type <> 'client backend'
