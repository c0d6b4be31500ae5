-- No lasting role has a password. Before 16 whoever may SET ROLE to one may give it one; what
-- passwords there are only a superuser can see, so all are erased.
DO $erase$
DECLARE
    lasting record;
BEGIN
    FOR lasting IN
        SELECT rolname AS name FROM pg_roles
         WHERE rolname = {bookkeeping} OR rolname ~ {pattern} ORDER BY rolname
    LOOP
        EXECUTE format('ALTER ROLE %I PASSWORD NULL', lasting.name);
    END LOOP;
END
$erase$
