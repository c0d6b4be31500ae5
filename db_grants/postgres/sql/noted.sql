-- Whether the role r carries our note of its grant; read where shobj_description would, which the server
-- plans for itself at each call.
EXISTS (SELECT FROM pg_shdescription d
         WHERE d.objoid = r.oid AND d.classoid = 'pg_authid'::regclass
           AND starts_with(d.description, '{{"grant":')
        OFFSET 0)
