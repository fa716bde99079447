-- find_lost: jobs on workers whose lease has ended. Forgets such workers once they hold none.
-- KEYS[1] root
-- ARGV    limit
-- Returns claim_id, attempt, worker of each
-- Clock   leases; notes that a pass of recovery begins
local lost, now = {}, now_ms()
redis.call('HSET', key('passes'), 'recovery', now)
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', key('workers'), '-inf', '(' .. now)) do
  local held = redis.call('SMEMBERS', key('runs', worker))
  if #held == 0 then
    forget_worker(worker)
  end
  for _, id in ipairs(held) do
    if #lost >= 3 * ARGV[1] then
      return lost
    end
    lost[#lost + 1] = id
    lost[#lost + 1] = claim_fields(id, 'attempt')[1]
    lost[#lost + 1] = worker
  end
end
return lost
