-- mark_queued: note that the job of an attempt was published.
-- KEYS[1] root
-- ARGV    claim_id, attempt, grace_ms (until somebody asks why the job has not started)
-- Returns 1 noted | 0 it was published before, or the claim has moved on (its job may be faster)
-- Clock   the grace; it doubles each time that the job is published anew
local id, grace = ARGV[1], tonumber(ARGV[3])
local claim = claim_fields(id, 'activity', 'state', 'attempt')
if claim[3] ~= ARGV[2] then
  return 0
end
if claim[2] == 'queued' then
  local again = redis.call('HINCRBY', key('claim', id), 'again', 1)
  redis.call('ZADD', key('unstarted'), now_ms() + grace * 2 ^ math.min(again - 1, 10), id)
  return 0
end
if claim[2] ~= 'claimed' then
  return 0
end
move(id, claim[1], 'claimed', 'queued')
redis.call('ZADD', key('unstarted'), now_ms() + grace, id)
return 1
