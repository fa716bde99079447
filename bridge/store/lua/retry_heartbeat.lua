-- retry_heartbeat: a heartbeat failed; let it be due again before its interval is over.
-- KEYS[1] root
-- ARGV    claim_id, delay_ms, missed (Unix ms: when the failed heartbeat was due)
-- Returns 1 noted | 0 the claim is gone, or due even sooner
-- Clock   due after the delay
run_at_maxmemory()
local id, delay, missed = unpack(ARGV)
if redis.call('ZADD', key('heartbeats'), 'XX', 'LT', 'CH', now_ms() + delay, id) == 0 then
  return 0
end
redis.call('HSET', key('claim', id), 'missed', missed)
return 1
