-- postpone_report: a report could not be delivered; try again later.
-- KEYS[1] root
-- ARGV    claim_id, delay_ms
-- Returns 1 postponed | 0 it is not in the outbox any more
-- Clock   due after the delay
run_at_maxmemory()
local id, delay = unpack(ARGV)
return redis.call('ZADD', key('outbox'), 'XX', 'CH', now_ms() + delay, id)
