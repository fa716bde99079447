-- keep_alive: a job with heartbeat="manual" says that it makes progress. From any other it changes
-- nothing: later silence of such a job must not be held against it.
-- KEYS[1] root
-- ARGV    claim_id, run
-- Returns 1 noted | 0 this run no longer holds the claim
-- Clock   alive for two intervals from now
run_at_maxmemory()
local claim = claim_fields(ARGV[1], 'state', 'run', 'every', 'manual')
if claim[1] ~= 'running' or claim[2] ~= ARGV[2] then
  return 0
end
if claim[4] then
  redis.call('HSET', key('claim', ARGV[1]), 'alive', now_ms() + 2 * claim[3])
end
return 1
