-- keep_alive: note that a job with heartbeat="manual" makes progress. For any other job it changes
-- nothing, because that job need not say so again.
-- KEYS[1] root
-- ARGV    claim_id, run
-- Returns 1 noted | 0 this run does not hold the claim any more
-- Clock   alive for two intervals from now
run_at_maxmemory()
local id, run = unpack(ARGV)
local state, holder, every, manual = claim_fields(id, 'state', 'run', 'every', 'manual')
if state ~= 'running' or holder ~= run then
  return 0
end
if manual then
  redis.call('HSET', key('claim', id), 'alive', now_ms() + 2 * every)
end
return 1
