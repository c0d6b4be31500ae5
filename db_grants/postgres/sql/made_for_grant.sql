-- Whether the role r was made for a grant, and not by a bot gone bad: its name, and either our note or a
-- mark that the bot has not given.
(r.rolname ~ {temporary}
 AND r.rolname NOT IN ({bookkeeping}, {quarantine}, session_user)
 AND (coalesce(starts_with(shobj_description(r.oid, 'pg_authid'), '{{"grant":'), false)
      OR EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles b ON b.oid = m.roleid
                  WHERE m.member = r.oid AND b.rolname = {bookkeeping} AND NOT m.admin_option
                    AND pg_get_userbyid(m.grantor) <> session_user)))
