-- hold_polls: open no polls for a while, because Step Functions throttles reports or heartbeats.
-- KEYS[1] root
-- ARGV    hold_ms, place (region and account whose calls are throttled)
-- Returns nothing
-- Clock   end of the hold
run_at_maxmemory()
local hold, place = unpack(ARGV)
redis.call('SET', key('throttled', place), 1, 'PX', hold)
