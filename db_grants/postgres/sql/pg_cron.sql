-- The server ends overdue access by itself, every minute, with pg_cron: also when no other machine can
-- reach it. To be run by a superuser after the rest. Whatever it leaves (the closed role), the bot or
-- `jit sweep` removes.
BEGIN;
CREATE OR REPLACE PROCEDURE jit_admin.close_overdue() LANGUAGE plpgsql AS $body$
DECLARE
    overdue CONSTANT text :=
        $query$
        SELECT r.oid, r.rolname AS name
          FROM pg_catalog.pg_auth_members m
          JOIN pg_catalog.pg_roles b ON b.oid = m.roleid AND b.rolname = 'jit_managed'
          JOIN pg_catalog.pg_roles r ON r.oid = m.member
         WHERE NOT m.admin_option
           AND r.rolname ~ '^jit_[a-z0-9]{{4,40}}$'
           AND NOT (r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls)
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_auth_members q -- that is the bot, whatever its name
                             JOIN pg_catalog.pg_roles k ON k.oid = q.roleid AND k.rolname = 'jit_quarantine'
                            WHERE q.member = r.oid)
           -- the earlier of the noted deadline and VALID UNTIL; a role of ours without any is overdue
           AND coalesce(least(
                   substring(pg_catalog.shobj_description(r.oid, 'pg_authid') FROM
                       '"expires": "(\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?\+00:00)"')::timestamptz,
                   CASE WHEN isfinite(r.rolvaliduntil) THEN r.rolvaliduntil END),
               '-infinity') <= clock_timestamp()
           AND (r.rolcanlogin OR EXISTS (SELECT FROM pg_catalog.pg_stat_activity a
                                          WHERE a.usesysid = r.oid))
        $query$;
    role record;
    held record;
BEGIN
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
    PERFORM set_config('lock_timeout', '2s', false);
    FOR pass IN 1..3 LOOP
        FOR role IN EXECUTE overdue LOOP
            BEGIN -- the door first, and committed below, or whoever is cut comes back in
                EXECUTE format(
                    'ALTER ROLE %I NOLOGIN CONNECTION LIMIT 0 VALID UNTIL ''-infinity'' PASSWORD NULL',
                    role.name);
                FOR held IN
                    SELECT g.rolname AS name, pg_get_userbyid(m.grantor) AS grantor
                      FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
                     WHERE m.member = role.oid AND g.rolname <> 'jit_managed'
                LOOP
                    EXECUTE format('REVOKE %I FROM %I GRANTED BY %I', held.name, role.name, held.grantor);
                END LOOP;
            EXCEPTION WHEN lock_not_available THEN
                NULL; -- its holder may hold the lock; the next pass finds them cut
            END;
            COMMIT;
            PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE usesysid = role.oid;
            COMMIT;
        END LOOP;
        PERFORM pg_sleep(0.05);
    END LOOP;
END
$body$;
REVOKE ALL ON PROCEDURE jit_admin.close_overdue() FROM PUBLIC;

DO $schedule$
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron') THEN
        PERFORM cron.schedule('jit-close-overdue', '* * * * *', 'CALL jit_admin.close_overdue()');
    ELSE
        RAISE WARNING 'pg_cron is not in this database; in the one that cron.database_name names, run: %',
            format('SELECT cron.schedule_in_database(%L, %L, %L, %L)', 'jit-close-overdue', '* * * * *',
                   'CALL jit_admin.close_overdue()', current_database());
    END IF;
END
$schedule$;
COMMIT;
