-- How old, in transactions, a row may be that mentions one of {oids}: by `sql/note_since.sql`. Any age
-- where that says nothing of just these roles, or what is long ago: ages are only told apart within two
-- thousand million transactions, and one that seems to lie in the future is no age at all.
SELECT CASE WHEN known.since > 0 AND known.now - known.since BETWEEN 0 AND 1000000000
            THEN age((known.since % 4294967296)::text::xid)
            ELSE 2147483647 END AS age
  FROM (SELECT CASE split_part(current_setting('jit.since', true), ' ', 1) WHEN {oids}::text
               THEN split_part(current_setting('jit.since', true), ' ', 2)::bigint END AS since,
               pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS now) AS known
