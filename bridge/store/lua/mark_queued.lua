-- mark_queued: note that the jobs of attempts were published.
-- KEYS[1] root
-- ARGV    grace_ms (until recovery looks why a job has not started), then claim_id, attempt of each
-- Returns for each 1 noted | 0 it was published before, or the claim has moved on (its job may have been
--         faster)
-- Clock   the grace; it doubles each time that a job is published anew
run_at_maxmemory()
local grace, now, noted = tonumber(ARGV[1]), now_ms(), {}

local function mark(id, attempt)
  local activity, state, current, queue = claim_fields(id, 'activity', 'state', 'attempt', 'queue')
  if attempt ~= current then
    return 0
  end
  if state == 'queued' then
    local again = redis.call('HINCRBY', key('claim', id), 'again', 1)
    redis.call('ZADD', key('unstarted'), now + grace * 2 ^ math.min(again - 1, 10), id)
    return 0
  end
  if state ~= 'claimed' then
    return 0
  end
  move(id, activity, queue, 'claimed', 'queued')
  redis.call('ZADD', key('unstarted'), now + grace, id)
  return 1
end

for i = 2, #ARGV, 2 do
  append(noted, mark(unpack(ARGV, i, i + 1)))
end
return noted
