-- take_unstarted: claims whose job is to be published, or published anew.
-- KEYS[1] root
-- ARGV    limit, hold_ms, grace_ms
-- Returns claim_id, activity, attempt, retry, input of each
-- Clock   due; due again after hold_ms (to be published), or after ever more graces (it waits);
--         the workers' leases
--
-- A job that is published and has not started may wait behind others, or its message may be in no
-- queue any more: a broker lost it, or a worker died with it. It is published anew when no worker
-- has it and one has room; should the first message turn up, the fence drops the later one.
--
-- A claim that is to be published may have been: that it was, and that its job began, may be lost with
-- the server that was told. So none is published that a worker has, or may have.
run_at_maxmemory()
local now, grace = now_ms(), tonumber(ARGV[3])
local room_in, held = nil, nil

local function look_at_the_workers()
  room_in, held = {}, {}
  for _, worker in ipairs(redis.call('ZRANGEBYSCORE', key('workers'), now, '+inf')) do
    local info = cjson.decode(redis.call('HGET', key('fleet'), worker))
    local has = cjson.decode(redis.call('HGET', key('held'), worker))
    for _, queue in ipairs(info.queues) do
      room_in[queue] = room_in[queue] or (info.fetches and info.slots > 0)
    end
    for _, id in ipairs(has.jobs) do
      held[id] = true
    end
  end
end

local taken = {}
if now < tonumber(redis.call('HGET', key('passes'), 'takeover') or 0) then
  return taken
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('unstarted'), '-inf', now,
    'LIMIT', 0, ARGV[1])) do
  local claim = claim_fields(id, 'activity', 'attempt', 'retry', 'state', 'queue', 'again')
  if not room_in then look_at_the_workers() end
  local wanted = claim[4] == 'claimed' and not held[id]
  if wanted then
    redis.call('ZADD', key('unstarted'), now + ARGV[2], id)
  else
    wanted = room_in[claim[5]] and not held[id]
    local again = tonumber(claim[6] or 0)
    -- Once it is published anew, mark_queued makes it wait for longer.
    -- A worker that has dropped a delivery says so when it renews: soon, and no grace is needed.
    local soon = wanted or claim[4] == 'claimed'
    local pause = soon and ARGV[2] or grace * 2 ^ math.min(again, 10)
    redis.call('ZADD', key('unstarted'), now + pause, id)
  end
  if wanted then
    taken[#taken + 1] = id
    taken[#taken + 1] = claim[1]
    taken[#taken + 1] = claim[2]
    taken[#taken + 1] = claim[3] or 0
    taken[#taken + 1] = string.match(redis.call('GET', key('task', id)), '\n(.*)$')
  end
end
return taken
