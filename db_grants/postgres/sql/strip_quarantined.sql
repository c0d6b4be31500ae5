-- For databases without the bootstrap's function, and schemas that the bot may use.
DO $body$
{stripping}
$body$
