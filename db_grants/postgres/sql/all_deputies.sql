-- Whether this target is prepared for a bot without power over roles: it may call all functions, and see
-- what is listed.
(CASE WHEN {deputies}
      THEN coalesce(has_table_privilege(to_regclass('jit_admin.scope_roles')::oid, 'SELECT'), false)
      ELSE false END)
