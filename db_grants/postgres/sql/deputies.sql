-- Whether the bot may call these functions of the bootstrap. Without USAGE on their schema even to ask for
-- one fails.
(CASE WHEN coalesce(has_schema_privilege(to_regnamespace('jit_admin')::oid, 'USAGE'), false)
      THEN (SELECT bool_and(coalesce(has_function_privilege(to_regprocedure(f), 'EXECUTE'), false))
              FROM unnest({deputies}::text[]) AS f)
      ELSE false END)
