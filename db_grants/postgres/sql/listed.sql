-- Whether the role r is one that this database is prepared with.
EXISTS (SELECT FROM jit_admin.scope_roles s WHERE s.role = r.oid AND s.kind IN ('atom', 'entitlement'))
