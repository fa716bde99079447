-- check_schema: may this version of the bridge use the store?
-- KEYS[1] root
-- ARGV    only_look (0|1: a store without a schema is left without one)
-- Returns 1 it may | SCHEMA and the number found, as an error, when the store has another schema
-- Clock   the leases of workers and pollers
local only_look = ARGV[1] == '1'
return other_schema(only_look) or 1
