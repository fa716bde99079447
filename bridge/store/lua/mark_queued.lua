-- mark_queued: note that the jobs of attempts were published.
-- KEYS[1] root
-- ARGV    grace_ms (until somebody asks why a job has not started), then claim_id, attempt of each
-- Returns of each 1 noted | 0 it was published before, or the claim has moved on (its job may be
--         faster)
-- Clock   the grace; it doubles each time that a job is published anew
run_at_maxmemory()
local grace, now, answers = tonumber(ARGV[1]), now_ms(), {}

local function mark(id, attempt)
  local claim = claim_fields(id, 'activity', 'state', 'attempt', 'queue')
  if claim[3] ~= attempt then
    return 0
  end
  if claim[2] == 'queued' then
    local again = redis.call('HINCRBY', key('claim', id), 'again', 1)
    redis.call('ZADD', key('unstarted'), now + grace * 2 ^ math.min(again - 1, 10), id)
    return 0
  end
  if claim[2] ~= 'claimed' then
    return 0
  end
  move(id, claim[1], claim[4], 'claimed', 'queued')
  redis.call('ZADD', key('unstarted'), now + grace, id)
  return 1
end

for i = 2, #ARGV, 2 do
  answers[#answers + 1] = mark(ARGV[i], ARGV[i + 1])
end
return answers
