-- check_schema: may this version of the bridge use the store?
-- KEYS[1] root
-- ARGV    only_look (1: a store without a stamp is not stamped)
-- Returns 1 it may | SCHEMA and what was found, as an error, when the store has another schema
-- Clock   the leases of workers and pollers
return other_schema(ARGV[1] == '1') or 1
