AND NOT EXISTS (SELECT FROM pg_auth_members WHERE grantor = ANY ($1))
            AND NOT EXISTS (SELECT FROM jit_admin.lasting_passwords())
