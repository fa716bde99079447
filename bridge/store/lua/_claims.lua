-- Put before every script, after _ledger.lua: how claims and workers change state.

-- Adds to the number of claims of an activity in a state.
local function tally(activity, state, by)
  count('tally', activity .. '|' .. (waits[state] and 'queued' or state), by)
end

-- Frees what a claim takes in the ledger: the slot that it runs in, or the waiting room that it takes.
-- Removals come first, so that this works in a store at maxmemory.
local function vacate(id, activity, queue, state, worker)
  if waits[state] then
    redis.call('ZREM', key('unstarted'), id)
    end_waiting(id, activity, queue)
  end
  if worker then
    end_run(id, activity, worker)
  end
end

-- Changes the state of a claim, and takes it from the worker that ran it. What follows `worker` are
-- fields of the claim and their values, to be set as well.
local function move(id, activity, queue, from, to, worker, ...)
  if waits[from] ~= waits[to] or worker then
    vacate(id, activity, queue, from, worker)
    if waits[from] then
      redis.call('HDEL', key('claim', id), 'until')
    end
    if worker then
      redis.call('HDEL', key('claim', id), 'worker', 'run', 'alive', 'missing')
    end
    if waits[to] then
      count_waiting(activity, queue, 1)
    end
  end
  if not (waits[from] and waits[to]) then
    tally(activity, from, -1)
    tally(activity, to, 1)
  end
  redis.call('HSET', key('claim', id), 'state', to, ...)
end

local function has_lease(worker, now)
  local ends = redis.call('ZSCORE', key('workers'), worker)
  return ends and tonumber(ends) >= now
end

local function forget_worker(worker)
  remove_worker(worker)
  redis.call('DEL', key('unwanted', worker))
  redis.call('ZREM', key('workers'), worker)
  redis.call('HDEL', key('fleet'), worker)
  redis.call('HDEL', key('held'), worker)
end

-- Settles a claim: its outcome is stored, and due to be reported at once.
local function put_into_outbox(id, activity, queue, state, worker, outcome)
  local now, ok = now_ms(), string.sub(outcome, 1, 1) == '+'
  move(id, activity, queue, state, 'settled', worker, 'settled', now, 'by', worker or '')
  redis.call('SET', key('outcome', id), outcome)
  redis.call('HINCRBY', key('ended'), activity .. (ok and '|succeeded' or '|failed'), 1)
  redis.call('ZADD', key('outbox'), now, id)
  if redis.call('LPUSH', key('wake'), 1) > 1 then
    redis.call('LTRIM', key('wake'), 0, 0)
  end
end
