-- Whether the role r was made for a grant, and not by a bot gone bad: its name, and either our note or a
-- mark that the bot has not given.
(r.rolname ~ {temporary}
 AND r.rolname NOT IN ({bookkeeping}, {quarantine}, session_user)
 AND (EXISTS (SELECT FROM pg_auth_members m
               WHERE m.member = r.oid AND m.roleid = to_regrole({bookkeeping}) AND NOT m.admin_option
                 AND pg_get_userbyid(m.grantor) <> session_user
              OFFSET 0)
      OR {noted}))
