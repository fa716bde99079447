-- hasten_heartbeat: a heartbeat did not get through; try again before its interval is over.
-- KEYS[1] root
-- ARGV    claim_id, delay_ms
-- Returns 1 hastened | 0 the claim is gone, or due even sooner
-- Clock   due after the delay
return redis.call('ZADD', key('heartbeats'), 'XX', 'LT', 'CH', now_ms() + ARGV[2], ARGV[1])
