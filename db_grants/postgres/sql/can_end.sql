-- Whether the bot can end the role r: by the functions of the bootstrap, or by power of its own.
({deputies} AND NOT r.rolsuper AND
{made_for_grant}
 OR EXISTS (SELECT FROM pg_roles b
             WHERE b.rolname = current_user
               AND (b.rolsuper
                    OR b.rolcreaterole AND NOT r.rolsuper
                       AND (current_setting('server_version_num')::int < 160000
                            OR pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION')))))
