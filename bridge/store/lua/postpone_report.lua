-- postpone_report: a report could not be delivered; try again later.
-- KEYS[1] root
-- ARGV    claim_id, delay_ms
-- Returns 1 postponed | 0 it is no longer in the outbox
-- Clock   due after the delay
run_at_maxmemory()
return redis.call('ZADD', key('outbox'), 'XX', 'CH', now_ms() + ARGV[2], ARGV[1])
