-- Whether the role r was made by us: it carries our mark, or our note of its grant. Somebody with
-- power may have taken one of them away; who has neither is somebody else's, whatever it is called.
(EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles b ON b.oid = m.roleid
          WHERE m.member = r.oid AND b.rolname = {bookkeeping}
         OFFSET 0) -- of this role alone: not by a list of all who carry the mark
 OR coalesce(starts_with(shobj_description(r.oid, 'pg_authid'), '{{"grant":'), false))
