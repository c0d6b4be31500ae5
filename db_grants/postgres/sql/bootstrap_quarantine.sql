-- Whatever the quarantine role owns in this database is taken away from everybody else, PUBLIC and
-- the server's default privileges (EXECUTE on functions, USAGE on types) included: an object left
-- behind must not go on giving access in its maker's place.
-- It takes a superuser to do so in schemas that the bot may not use.
CREATE OR REPLACE FUNCTION jit_admin.strip_quarantined() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    PERFORM jit_admin.require_read_committed();
{stripping};
END
$body$;
