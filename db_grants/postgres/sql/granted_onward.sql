-- Memberships the role with OID {oid} gave to others. Up to PostgreSQL 15 they survive DROP ROLE.
SELECT pg_get_userbyid(roleid)::text AS role, pg_get_userbyid(member)::text AS member
  FROM pg_auth_members
 WHERE grantor = {oid}
