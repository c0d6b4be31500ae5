-- Whether the bot, before or since 16, has power over the role found.
(before_16 OR rolsuper
 OR EXISTS (SELECT FROM pg_auth_members m
             WHERE m.roleid = found.oid AND m.member = bot.oid AND m.admin_option))
