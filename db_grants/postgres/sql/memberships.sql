-- What the roles with the OIDs $1 are members of, other than our mark.
SELECT m.member AS oid, array_agg(DISTINCT g.rolname::text) AS member_of
  FROM pg_auth_members m
  JOIN pg_roles g ON g.oid = m.roleid
 WHERE m.member = ANY ($1)
   AND g.rolname <> {bookkeeping}
 GROUP BY 1
