-- retry_heartbeat: a heartbeat did not get through; try again before its interval is over.
-- KEYS[1] root
-- ARGV    claim_id, delay_ms, missed (Unix ms: when the one that did not get through was due)
-- Returns 1 hastened | 0 the claim is gone, or due even sooner
-- Clock   due after the delay
run_at_maxmemory()
if redis.call('ZADD', key('heartbeats'), 'XX', 'LT', 'CH', now_ms() + ARGV[2], ARGV[1]) == 0 then
  return 0
end
redis.call('HSET', key('claim', ARGV[1]), 'missed', ARGV[3])
return 1
