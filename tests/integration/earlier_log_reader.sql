-- The log reader of an earlier bootstrap, as it was: one role at a time.
DROP FUNCTION jit_admin.statement_logs(text[], timestamptz[], bigint);

CREATE OR REPLACE FUNCTION jit_admin.statement_log(
    role_name text, since timestamptz, max_bytes bigint DEFAULT 33554432
) RETURNS TABLE (kind text, record text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    folder  CONSTANT text := current_setting('log_directory') || '/';
    as_json CONSTANT boolean := current_setting('log_destination') ~ 'jsonlog';
    suffix  CONSTANT text := CASE WHEN as_json THEN '.json' ELSE '.csv' END;
    budget  bigint := max_bytes;
    start   bigint;
    file    record;
    line    text;
    pending text := '';
    first   text;
BEGIN
    IF role_name !~ '^jit_[a-z0-9]+$' THEN
        RAISE EXCEPTION 'only the log of temporary roles may be read' USING ERRCODE = '42501';
    END IF;
    IF current_setting('logging_collector') <> 'on'
       OR current_setting('log_destination') !~ 'jsonlog|csvlog' THEN
        RETURN QUERY SELECT 'none', 'the server keeps no log in JSON or CSV';
        RETURN;
    END IF;
    RETURN QUERY SELECT 'zone', current_setting('log_timezone');
    -- Newest first, so that what the budget cuts off is the oldest. A minute to spare: file times come
    -- in whole seconds, and `since` is by another machine's clock. The name of the role is never reused.
    FOR file IN
        SELECT name, size FROM pg_ls_logdir()
         WHERE name LIKE '%' || suffix AND modification >= since - interval '1 minute'
         ORDER BY modification DESC, name DESC
    LOOP
        start := greatest(0, file.size - budget);
        IF start > 0 THEN
            RETURN QUERY SELECT 'partial', 'only the newest ' || max_bytes || ' bytes of the log were read';
            EXIT WHEN budget <= 0 OR NOT as_json; -- a CSV record cannot be found from its middle
        END IF;
        budget := budget - (file.size - start);
        -- As bytes: a log may hold several encodings. encode() leaves ASCII and line ends as they are.
        FOR line IN
            SELECT string_to_table(
                encode(pg_read_binary_file(folder || file.name, start, file.size - start, true), 'escape'),
                E'\n')
        LOOP
            IF as_json THEN
                pending := line;
            ELSE -- a quoted field may span lines: a record is whole when its quotes are even
                pending := CASE pending WHEN '' THEN line ELSE pending || E'\n' || line END;
                CONTINUE WHEN (length(pending) - length(replace(pending, '"', ''))) % 2 = 1;
            END IF;
            IF as_json AND position('"user":"' || role_name || '"' IN pending) > 0
               OR NOT as_json AND split_part(pending, ',', 2) = '"' || role_name || '"' THEN
                kind := CASE WHEN as_json THEN 'json' ELSE 'csv' END;
                BEGIN
                    record := convert_from(decode(pending, 'escape'), 'UTF8');
                EXCEPTION WHEN OTHERS THEN
                    kind := 'partial';
                    record := 'a line of the log is not UTF-8';
                END;
                RETURN NEXT;
            END IF;
            pending := '';
        END LOOP;
        first := substring(convert_from(pg_read_binary_file(folder || file.name, 0, 48, true), 'SQL_ASCII')
                           FROM '\d\d\d\d-\d\d-\d\d \d\d:\d\d:\d\d');
    END LOOP;
    -- Files were removed when the oldest begins after `since` although the server already ran then.
    -- An older file and nothing newer: the server had nothing to say, and nothing is missing. File
    -- times come in whole seconds, rounded down: in the second of `since` it is not known to be older.
    IF (first IS NULL OR (first::timestamp AT TIME ZONE current_setting('log_timezone') > since
                          AND pg_postmaster_start_time() < since))
       AND NOT EXISTS (SELECT FROM pg_ls_logdir()
                        WHERE name LIKE '%' || suffix AND modification < date_trunc('second', since)) THEN
        RETURN QUERY SELECT 'partial', 'older log files are gone';
    END IF;
END
$body$;
ALTER FUNCTION jit_admin.statement_log(text, timestamptz, bigint) OWNER TO CURRENT_USER;
REVOKE ALL ON FUNCTION jit_admin.statement_log(text, timestamptz, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION jit_admin.statement_log(text, timestamptz, bigint) TO {bot};
