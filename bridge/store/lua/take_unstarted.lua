-- take_unstarted: take claims whose job is to be published, or published anew.
-- KEYS[1] root
-- ARGV    limit, hold_ms, grace_ms
-- Returns claim_id, activity, attempt, retry, input of each
-- Clock   when a claim is due; it is due again after hold_ms if its job is to be published, else after a
--         grace that doubles with each publication; the workers' leases
--
-- A published job that has not started may wait behind others, or its message may be in no queue any
-- more: a broker has lost it, or a worker died with it. The job is published anew when no worker has it
-- and one has room for it. If the first message turns up nevertheless, the fence drops the later one.
--
-- A job that is not marked as published may have been published all the same: a failover of Redis may
-- have lost that mark, and the mark that the job began. So no job is published that a worker has or may
-- have.
run_at_maxmemory()
local limit, hold, grace = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local now, taken = now_ms(), {}
if now < tonumber(redis.call('HGET', key('passes'), 'takeover') or 0) then
  return taken
end

-- Which queues a live worker has room in, and which claims live workers hold.
local function read_workers()
  local room_in, held = {}, {}
  for _, worker in ipairs(redis.call('ZRANGEBYSCORE', key('workers'), now, '+inf')) do
    local info = cjson.decode(redis.call('HGET', key('fleet'), worker))
    for _, queue in ipairs(info.queues) do
      room_in[queue] = room_in[queue] or (info.fetches and info.slots > 0)
    end
    for _, id in ipairs(cjson.decode(redis.call('HGET', key('held'), worker)).jobs) do
      held[id] = true
    end
  end
  return room_in, held
end

local due = redis.call('ZRANGEBYSCORE', key('unstarted'), '-inf', now, 'LIMIT', 0, limit)
local room_in, held
if #due > 0 then room_in, held = read_workers() end
for _, id in ipairs(due) do
  local activity, attempt, retry, state, queue, again = claim_fields(id,
    'activity', 'attempt', 'retry', 'state', 'queue', 'again')
  local is_published = state ~= 'claimed'
  local take = not held[id] and (not is_published or room_in[queue])
  -- A job that is taken gets its grace from mark_queued. One that is not published and that a worker
  -- holds is looked at soon: a worker that drops a delivery announces that when it renews its lease.
  local pause = hold
  if is_published and not take then
    pause = grace * 2 ^ math.min(tonumber(again or 0), 10)
  end
  redis.call('ZADD', key('unstarted'), now + pause, id)
  if take then
    local input = string.match(redis.call('GET', key('task', id)), '\n(.*)$')
    append(taken, id, activity, attempt, retry or 0, input)
  end
end
return taken
