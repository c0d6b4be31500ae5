-- Whether the role found is listed, so that the bootstrap's functions see to it.
EXISTS (SELECT FROM jit_admin.scope_roles s WHERE s.role = found.oid)
