-- find_lost: jobs on workers whose lease has ended. Forgets such workers once they hold none.
-- KEYS[1] root
-- ARGV    limit, gap_ms, amnesty_ms
-- Returns claim_id, attempt, worker, activity of each
-- Clock   leases; notes that a pass of recovery begins
--
-- When nobody has looked for longer than the gap, the store itself may have been away, and leases
-- have ended that nobody could renew: for the time of the amnesty no worker is taken for dead.
--
-- The same when another server answers than the last time: a replica that has taken over, or one that
-- has restarted, may not know the last moments of writes, leases among them. What workers say when they
-- renew tells what they run; until then no job is published anew: see take_unstarted. Not twice within
-- eight amnesties: behind a proxy each call may meet another server, and nothing would ever be lost.
run_at_maxmemory()
local other = other_schema()
if other then
  return other
end
local lost, now = {}, now_ms()
local last = tonumber(redis.call('HGET', key('passes'), 'recovery') or now)
redis.call('HSET', key('passes'), 'recovery', now)
if now - last > tonumber(ARGV[2]) then
  redis.call('HSET', key('passes'), 'amnesty', now + ARGV[3])
end
local info = redis.pcall('INFO', 'server') -- a user may not have the right
local server = type(info) == 'string' and string.match(info, 'run_id:(%w+)')
if server then
  local known = redis.call('GET', key('server'))
  if known ~= server then
    redis.call('SET', key('server'), server)
  end
  local before = tonumber(redis.call('HGET', key('passes'), 'takeover') or 0)
  if known and known ~= server and now > before + 8 * ARGV[3] then
    redis.call('HSET', key('passes'), 'amnesty', now + ARGV[3], 'takeover', now + ARGV[3])
  end
end
if now < tonumber(redis.call('HGET', key('passes'), 'amnesty') or 0) then
  return lost
end
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', key('workers'), '-inf', '(' .. now)) do
  local held = redis.call('SMEMBERS', key('runs', worker))
  if #held == 0 then
    forget_worker(worker)
  end
  for _, id in ipairs(held) do
    if #lost >= 4 * ARGV[1] then
      return lost
    end
    local claim = claim_fields(id, 'attempt', 'activity')
    lost[#lost + 1] = id
    lost[#lost + 1] = claim[1]
    lost[#lost + 1] = worker
    lost[#lost + 1] = claim[2]
  end
end
return lost
