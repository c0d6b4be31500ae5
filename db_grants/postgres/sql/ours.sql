-- Whether the role r was made by us: it carries our mark, or our note of its grant. Somebody with
-- power may have taken one of them away; who has neither is somebody else's, whatever it is called.
(EXISTS (SELECT FROM pg_auth_members m
          WHERE m.member = r.oid AND m.roleid = to_regrole({bookkeeping})
         OFFSET 0) -- of this role alone: not by a list of all who carry the mark
 OR {noted})
