-- hold_polls: Step Functions throttles calls that matter more than polls; open none for a while.
-- KEYS[1] root
-- ARGV    hold_ms, place (region and account whose calls are throttled)
-- Returns nothing
-- Clock   end of the hold
run_at_maxmemory()
redis.call('SET', key('throttled', ARGV[2]), 1, 'PX', ARGV[1])
