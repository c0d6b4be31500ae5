-- The roles this database is prepared with: atoms and entitlements by the catalog, narrowed ones as people
-- ask for them; `withdrawn` is what the catalog no longer lists, which is not handed out any more, and
-- taken care of until its last grant has ended. By OID and name: one that was dropped and made again by
-- somebody else is not it. By database: in a copy of this one nothing is listed.
CREATE TABLE IF NOT EXISTS jit_admin.listing (
    role     oid PRIMARY KEY,
    name     text NOT NULL,
    kind     text NOT NULL CHECK (kind IN ('atom', 'entitlement', 'narrowed', 'withdrawn', 'mark')),
    database oid NOT NULL
);
DO $listed$
DECLARE
    wanted CONSTANT text := $view$
        SELECT l.role, l.name, l.kind
          FROM jit_admin.listing l
          JOIN pg_roles r ON r.oid = l.role AND r.rolname = l.name
         WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database())$view$;
BEGIN
    EXECUTE 'CREATE TEMPORARY VIEW jit_scope_roles AS ' || wanted;
    -- Every end reads it, and would wait for the end of a transaction that replaced it.
    IF pg_get_viewdef(to_regclass('jit_admin.scope_roles')) IS DISTINCT FROM pg_get_viewdef('pg_temp.jit_scope_roles'::regclass) THEN
        EXECUTE 'CREATE OR REPLACE VIEW jit_admin.scope_roles AS ' || wanted;
    END IF;
    DROP VIEW pg_temp.jit_scope_roles;
END
$listed$;

-- What a narrowed scope's role is called: by what it carries, so it can carry nothing else.
CREATE OR REPLACE FUNCTION jit_admin.narrowed_name(atoms text[]) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $body$
    SELECT 'jit_u_' || left(encode(sha256(convert_to(
               '["' || string_agg(atom, '","' ORDER BY atom COLLATE "C") || '"]', 'UTF8')), 'hex'), 16)
      FROM unnest(atoms) AS atom
$body$;
