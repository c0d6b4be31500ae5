-- The statement log of temporary roles, and of nobody else, for the audit summary: in three functions
-- that only their owner may call, and the one for the bot.
CREATE SCHEMA IF NOT EXISTS jit_admin;
ALTER SCHEMA jit_admin OWNER TO CURRENT_USER;
REVOKE ALL ON SCHEMA jit_admin FROM PUBLIC;
GRANT USAGE ON SCHEMA jit_admin TO {bot};

-- The records of `names` among these lines of the log. What a crash or a full disk left of one is told
-- as damaged, also when the next record follows on its line. A statement cannot forge any: within it a
-- quote is written as \" or "", so where a record of a role begins is known without what stands before.
CREATE OR REPLACE FUNCTION jit_admin.log_records(lines text, as_json boolean, names text[])
RETURNS TABLE (role_name text, kind text, record text)
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    encoding CONSTANT text := getdatabaseencoding();
    bytes    CONSTANT bytea := convert_to(lines, encoding);
BEGIN
    IF as_json THEN
        RETURN QUERY
        WITH ours AS MATERIALIZED (
            SELECT line, split_part(substr(line, at + 8, 64), '"', 1) AS name,
                   strpos(substr(line, 2), '{{"timestamp":') > 0 AS several
              FROM (SELECT line, strpos(line, '"user":"jit_') AS at
                      FROM string_to_table(lines, E'\n') AS line) AS told
             WHERE at > 0
        )
        SELECT asked, 'json', line FROM ours JOIN unnest(names) AS asked ON asked = name WHERE NOT several
        UNION ALL
        SELECT unnest(ARRAY(SELECT asked FROM unnest(names) AS asked WHERE strpos(line, '"user":"' || asked || '"') > 0)),
               'partial', 'a line of the log is damaged'
          FROM ours WHERE several;
        RETURN;
    END IF;
    RETURN QUERY
    WITH told AS MATERIALIZED ( -- `ends`: of the line, in bytes; the rows come in the order of the lines
        SELECT line, ends, at, left(line, at - 1) ~ '^\d\d\d\d-\d\d-\d\d [\d:.]+ [^",]+$' AS begins
          FROM (SELECT line, sum(octet_length(line) + 1) OVER (ROWS UNBOUNDED PRECEDING)::int AS ends,
                       strpos(line, ',"jit_') AS at
                  FROM string_to_table(lines, E'\n') AS line) AS each
         WHERE at > 0
    ), start AS MATERIALIZED (
        SELECT line, split_part(substr(line, at + 2, 64), '"', 1) AS name,
               (length(line) - length(replace(line, '"', ''))) % 2 = 0 AS whole,
               ends - octet_length(line) AS place,
               lead(ends - octet_length(line)) OVER (ORDER BY ends) AS next
          FROM told WHERE begins
    ), long AS ( -- a quoted field goes on in the next line
        SELECT name, next IS NULL AS last, convert_from(
                   substring(bytes FROM place FOR coalesce(next, octet_length(bytes) + 1) - place), encoding) AS text
          FROM start WHERE NOT whole
    ), cut AS ( -- up to the first line end outside of quotes
        SELECT name, text, last, substring(text FROM '^(?:[^"\n]|"[^"]*")*') AS closed FROM long
    )
    SELECT asked, 'csv', line FROM start JOIN unnest(names) AS asked ON asked = name WHERE whole
    UNION ALL
    SELECT asked,
           CASE WHEN substr(text, length(closed) + 1, 1) <> '"' THEN 'csv' WHEN last THEN 'unfinished' ELSE 'partial' END,
           CASE WHEN substr(text, length(closed) + 1, 1) <> '"' THEN closed WHEN last THEN text
                ELSE 'a line of the log is damaged' END
      FROM cut JOIN unnest(names) AS asked ON asked = name
    UNION ALL
    SELECT unnest(ARRAY(SELECT asked FROM unnest(names) AS asked WHERE strpos(line, ',"' || asked || '",') > 0)),
           'partial', 'a line of the log is damaged'
      FROM told
     WHERE (NOT begins OR strpos(substr(line, at + 6), ',"jit_') > 0)
       AND line ~ '.\d\d\d\d-\d\d-\d\d [\d:]+\.\d\d\d [^",]+,"jit_[a-z0-9]+",';
END
$body$;
ALTER FUNCTION jit_admin.log_records(text, boolean, text[]) OWNER TO CURRENT_USER;
REVOKE ALL ON FUNCTION jit_admin.log_records(text, boolean, text[]) FROM PUBLIC;

-- What stands behind the last line end.
CREATE OR REPLACE FUNCTION jit_admin.log_unended(raw bytea) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    most  CONSTANT int := octet_length(raw);
    width int;
    found bytea := '';
BEGIN
    FOREACH width IN ARRAY ARRAY[1, 65536, most] LOOP
        found := decode(split_part(
            encode(substring(raw FROM greatest(1, most - width + 1)), 'escape'), E'\n', -1), 'escape');
        EXIT WHEN octet_length(found) < width;
    END LOOP;
    RETURN found;
END
$body$;
ALTER FUNCTION jit_admin.log_unended(bytea) OWNER TO CURRENT_USER;
REVOKE ALL ON FUNCTION jit_admin.log_unended(bytea) FROM PUBLIC;

-- The records of `names` in one file, from a byte on. A megabyte is in hand at a time, unless a record is
-- longer. A log may hold several encodings: what is not UTF-8 is taken apart as bytes.
CREATE OR REPLACE FUNCTION jit_admin.log_of_file(
    path text, start bigint, size bigint, as_json boolean, names text[], newest boolean
) RETURNS TABLE (role_name text, kind text, record text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    at    bigint := start;
    skip  boolean := start > 0; -- to the first line that begins here
    raw   bytea;
    carry bytea := '';
    lines text;
    clean boolean;
BEGIN
    WHILE at < size LOOP
        raw := pg_read_binary_file(path, at, least(greatest(1048576, octet_length(carry)), size - at), true);
        IF coalesce(octet_length(raw), 0) = 0 THEN
            RETURN QUERY SELECT name, 'partial', 'older log files are gone' FROM unnest(names) AS name;
            RETURN;
        END IF;
        at := at + octet_length(raw);
        raw := carry || raw;
        carry := jit_admin.log_unended(raw);
        raw := substring(raw FOR octet_length(raw) - octet_length(carry));
        IF skip AND raw <> '' THEN
            raw := substring(raw FROM position('\x0a'::bytea IN raw) + 1);
            skip := false;
        END IF;
        BEGIN
            lines := convert_from(raw, 'UTF8');
            clean := true;
        EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN
            lines := encode(raw, 'escape'); -- leaves ASCII and line ends as they are
            clean := false;
        END;
        FOR role_name, kind, record IN
            SELECT found.role_name, found.kind, found.record
              FROM jit_admin.log_records(lines, as_json, names) AS found
        LOOP
            IF kind = 'unfinished' THEN
                carry := CASE WHEN clean THEN convert_to(record, 'UTF8') ELSE decode(record, 'escape') END || carry;
                CONTINUE;
            END IF;
            IF NOT clean AND kind <> 'partial' THEN
                BEGIN
                    record := convert_from(decode(record, 'escape'), 'UTF8');
                EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN
                    kind := 'partial';
                    record := 'a line of the log is not UTF-8';
                END;
            END IF;
            RETURN NEXT;
        END LOOP;
    END LOOP;
    IF carry <> '' THEN -- being written just now, or cut short by a crash
        lines := encode(carry, 'escape');
        RETURN QUERY SELECT name, CASE WHEN newest THEN 'unfinished' ELSE 'partial' END, 'a line of the log is damaged'
                       FROM unnest(names) AS name WHERE strpos(lines, '"' || name || '"') > 0;
    END IF;
END
$body$;
ALTER FUNCTION jit_admin.log_of_file(text, bigint, bigint, boolean, text[], boolean) OWNER TO CURRENT_USER;
REVOKE ALL ON FUNCTION jit_admin.log_of_file(text, bigint, bigint, boolean, text[], boolean) FROM PUBLIC;

-- What the log holds of each role since its time, in one pass over the newest `max_bytes` of it.
CREATE OR REPLACE FUNCTION jit_admin.statement_logs(
    role_names text[], sinces timestamptz[], max_bytes bigint DEFAULT 33554432
) RETURNS TABLE (role_name text, kind text, record text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    folder  CONSTANT text := current_setting('log_directory') || '/';
    as_json CONSTANT boolean := current_setting('log_destination') ~ 'jsonlog';
    suffix  CONSTANT text := CASE WHEN as_json THEN '.json' ELSE '.csv' END;
    -- A minute to spare: file times come in whole seconds, and `sinces` are by another machine's clock.
    spare   CONSTANT interval := '1 minute';
    budget  bigint := max_bytes;
    start   bigint;
    file    record;
    names   text[];
    times   timestamptz[] := '{{}}'; -- of the files that were read
    begins  text[] := '{{}}';        -- the time in the first line of each
    eldest  timestamptz;
BEGIN
    IF cardinality(role_names) <> cardinality(sinces) OR array_position(sinces, NULL) IS NOT NULL THEN
        RAISE EXCEPTION 'each role needs its time' USING ERRCODE = '22023';
    END IF;
    IF current_setting('logging_collector') <> 'on'
       OR current_setting('log_destination') !~ 'jsonlog|csvlog' THEN
        RETURN QUERY SELECT NULL, 'none', 'the server keeps no log in JSON or CSV';
        RETURN;
    END IF;
    RETURN QUERY SELECT NULL, 'zone', current_setting('log_timezone');
    RETURN QUERY SELECT name, 'none', 'only the log of temporary roles may be read'
                   FROM unnest(role_names) AS name WHERE name !~ {temporary};
    SELECT min(modification) INTO eldest FROM pg_ls_logdir() WHERE name LIKE '%' || suffix;
    -- Newest first, so that what the budget cuts off is the oldest. The name of a role is never reused.
    FOR file IN
        SELECT name, size, modification FROM pg_ls_logdir()
         WHERE name LIKE '%' || suffix
           AND modification >= (SELECT min(since) FROM unnest(sinces) AS since) - spare
         ORDER BY modification DESC, name DESC
    LOOP
        names := ARRAY(SELECT DISTINCT name FROM unnest(role_names, sinces) AS asked (name, since)
                        WHERE name ~ {temporary} AND since - spare <= file.modification);
        start := greatest(0, file.size - budget);
        IF start > 0 THEN
            RETURN QUERY SELECT name, 'partial', 'only the newest ' || max_bytes || ' bytes of the log were read'
                           FROM unnest(names) AS name;
            EXIT WHEN budget <= 0;
        END IF;
        budget := budget - (file.size - start);
        RETURN QUERY SELECT * FROM jit_admin.log_of_file(
            folder || file.name, start, file.size, as_json, names, times = '{{}}');
        times := times || file.modification;
        begins := begins || substring(encode(pg_read_binary_file(folder || file.name, 0, 48, true), 'escape')
                                      FROM '\d\d\d\d-\d\d-\d\d \d\d:\d\d:\d\d');
    END LOOP;
    -- Files were removed when the oldest begins after `since` although the server already ran then.
    -- An older file and nothing newer: the server had nothing to say, and nothing is missing. File
    -- times come in whole seconds, rounded down: in the second of `since` it is not known to be older.
    RETURN QUERY
    SELECT name, 'partial', 'older log files are gone'
      FROM unnest(role_names, sinces) AS asked (name, since)
      LEFT JOIN LATERAL (
            SELECT begin::timestamp AT TIME ZONE current_setting('log_timezone') AS begin
              FROM unnest(times, begins) WITH ORDINALITY AS read (modification, begin, place)
             WHERE modification >= since - spare
             ORDER BY place DESC LIMIT 1) AS first ON true
     WHERE (begin IS NULL OR begin > since AND pg_postmaster_start_time() < since)
       AND coalesce(eldest >= date_trunc('second', since), true);
END
$body$;
ALTER FUNCTION jit_admin.statement_logs(text[], timestamptz[], bigint) OWNER TO CURRENT_USER;
REVOKE ALL ON FUNCTION jit_admin.statement_logs(text[], timestamptz[], bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION jit_admin.statement_logs(text[], timestamptz[], bigint) TO {bot};

-- Which scope roles have a password: none should. Before 16 the holder of a grant can give them one.
CREATE OR REPLACE FUNCTION jit_admin.lasting_passwords() RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
    SELECT rolname::text FROM pg_authid -- by ranges of names: live grants have passwords, all of them
     WHERE (rolname = {bookkeeping}
            OR rolname >= 'jit_s_' AND rolname < 'jit_s`'
            OR rolname >= 'jit_a_' AND rolname < 'jit_a`'
            OR rolname >= 'jit_u_' AND rolname < 'jit_u`')
       AND rolpassword IS NOT NULL AND (rolname = {bookkeeping} OR rolname ~ {lasting})
$body$;
ALTER FUNCTION jit_admin.lasting_passwords() OWNER TO CURRENT_USER;
REVOKE ALL ON FUNCTION jit_admin.lasting_passwords() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION jit_admin.lasting_passwords() TO {bot};
