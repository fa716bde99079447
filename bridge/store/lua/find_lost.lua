-- find_lost: find the jobs on workers whose lease has ended; forget such workers once they hold no job.
-- KEYS[1] root
-- ARGV    limit, gap_ms, amnesty_ms
-- Returns claim_id, attempt, worker, activity of each
-- Clock   leases; notes that a recovery pass begins
--
-- After a gap between two recovery passes that is longer than gap_ms, the store itself may have been
-- away, so that workers could not renew their leases: for amnesty_ms no worker counts as dead.
--
-- There is an amnesty, too, when the server that answers is not the one of the last pass. A replica that
-- has taken over, or a server that has restarted, may lack the last writes, leases among them. Workers
-- announce what they run when they renew; until then no job is published anew (see take_unstarted). Such
-- an amnesty comes at most once in eight amnesty_ms: behind a proxy each call may meet another server,
-- and without a limit no job would ever count as lost.
run_at_maxmemory()
local other = other_schema()
if other then
  return other
end
local limit, gap, amnesty = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local now = now_ms()

local function set_pass(...)
  redis.call('HSET', key('passes'), ...)
end

local last, amnesty_ends, takeover_ends = unpack(redis.call('HMGET', key('passes'),
  'recovery', 'amnesty', 'takeover'))
set_pass('recovery', now)
if now - (last or now) > gap then
  amnesty_ends = now + amnesty
  set_pass('amnesty', amnesty_ends)
end
local info = redis.pcall('INFO', 'server') -- a user may not have the right
local server = type(info) == 'string' and string.match(info, 'run_id:(%w+)')
if server then
  local known = redis.call('GET', key('server'))
  if known ~= server then
    redis.call('SET', key('server'), server)
  end
  if known and known ~= server and now > (takeover_ends or 0) + 8 * amnesty then
    amnesty_ends = now + amnesty
    set_pass('amnesty', amnesty_ends, 'takeover', amnesty_ends)
  end
end
local lost = {}
if now < tonumber(amnesty_ends or 0) then
  return lost
end
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', key('workers'), '-inf', '(' .. now)) do
  local runs = redis.call('SMEMBERS', key('runs', worker))
  if #runs == 0 then
    forget_worker(worker)
  end
  for _, id in ipairs(runs) do
    if limit == 0 then
      return lost
    end
    limit = limit - 1
    local attempt, activity = claim_fields(id, 'attempt', 'activity')
    append(lost, id, attempt, worker, activity)
  end
end
return lost
