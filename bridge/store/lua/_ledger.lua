-- Put before every script, after _prelude.lua: the capacity ledger, which says what occupies the slots
-- of workers and how many claims wait.
--
-- Each change of a claim or a worker updates the sums, so that a grant of polls reads a few numbers, and
-- not every worker and claim. Each change of a claim's state goes through _claims.lua, which calls
-- this file; each change of a worker goes through announce_worker(), update_worker() or
-- remove_worker().
--
-- A class is the set of workers that consume the same queues. Its name is these queues, sorted, with
-- line breaks between them. A worker offers its slots minus those that ordinary tasks occupy and those
-- that unwanted jobs occupy (jobs that it still runs though their claim is closed, or settled by
-- another job). It uses one of its offered slots for each claim that it runs. A draining worker offers
-- nothing and is in no class, and neither is a worker whose lease has ended: what those workers run
-- takes no room of the other workers.

-- The states in which a claim waits for a slot.
local waits = {claimed = true, queued = true}

-- Adds to a number in a hash; a number that falls to 0 is removed.
local function count(name, field, by)
  if redis.call('HINCRBY', key(name), field, by) <= 0 then
    redis.call('HDEL', key(name), field)
  end
end

-- Adds to the number of claims of an activity and queue that wait now.
local function count_waiting(activity, queue, by)
  count('waiting', activity .. '|' .. queue, by)
end

-- Notes that a claim takes no waiting room for now; why: 'countdown' or 'held_back'.
local function suspend_waiting(activity, queue, why)
  count_waiting(activity, queue, -1)
  count('aside', activity .. '|' .. why, 1)
end

-- Notes that a suspended claim takes waiting room again.
local function resume_waiting(activity, queue, why)
  count('aside', activity .. '|' .. why, -1)
  count_waiting(activity, queue, 1)
end

-- Notes that a claim no longer waits, because its job begins or because it ends. Removals come first,
-- so that this works in a store at maxmemory.
local function end_waiting(id, activity, queue)
  if redis.call('ZREM', key('countdown'), id) == 1 then
    count('aside', activity .. '|countdown', -1)
  elseif redis.call('HDEL', key('held_back'), id) == 1 then
    count('aside', activity .. '|held_back', -1)
  else
    count_waiting(activity, queue, -1)
  end
end

local function start_countdown(id, activity, queue, due)
  redis.call('ZADD', key('countdown'), due, id)
  suspend_waiting(activity, queue, 'countdown')
end

-- What a worker adds to the sums, as strings: slots, ordinary, offered, used, class. Nil for a worker
-- that is not in the sums.
local function offer_of(worker)
  local offer = redis.call('HGET', key('offers'), worker)
  if offer then
    return string.match(offer, '^(%d+)|(%d+)|(%d+)|(%d+)|(.*)$')
  end
end

local function set_offer(worker, slots, ordinary, offered, used, class)
  redis.call('HSET', key('offers'), worker,
    slots .. '|' .. ordinary .. '|' .. offered .. '|' .. used .. '|' .. class)
end

local function add_to_class(class, slots, offered, used, workers)
  if class == '' then
    return
  end
  if workers ~= 0 and redis.call('HINCRBY', key('classes'), 'N|' .. class, workers) <= 0 then
    redis.call('HDEL', key('classes'), 'N|' .. class, 'S|' .. class, 'E|' .. class, 'U|' .. class)
    return
  end
  if slots ~= 0 then redis.call('HINCRBY', key('classes'), 'S|' .. class, slots) end
  if offered ~= 0 then redis.call('HINCRBY', key('classes'), 'E|' .. class, offered) end
  if used ~= 0 then redis.call('HINCRBY', key('classes'), 'U|' .. class, used) end
end

-- Subtracts the claims that a worker runs from one class, and adds them to another.
local function move_running(worker, from, to)
  for _, id in ipairs(redis.call('SMEMBERS', key('runs', worker))) do
    local activity = claim_fields(id, 'activity')
    count('running', activity .. '|' .. from, -1)
    count('running', activity .. '|' .. to, 1)
  end
end

-- Calculates what a worker adds to its class from what it announces now, and updates the sums.
local function announce_worker(worker, slots, ordinary, class)
  local old_slots, _, old_offered, old_used, old_class = offer_of(worker)
  local offered, used = 0, 0
  if class ~= '' then
    offered = math.max(0, slots - ordinary - redis.call('SCARD', key('unwanted', worker)))
    used = math.min(offered, redis.call('SCARD', key('runs', worker)))
  end
  if old_class ~= class then
    move_running(worker, old_class or '', class)
    if old_class then
      add_to_class(old_class, -old_slots, -old_offered, -old_used, -1)
    end
    add_to_class(class, slots, offered, used, 1)
  else
    add_to_class(class, slots - old_slots, offered - old_offered, used - old_used, 0)
  end
  set_offer(worker, slots, ordinary, offered, used, class)
end

-- Calculates what a worker adds to its class from what it announced last, and updates the sums. Does
-- nothing for a worker without a lease.
local function update_worker(worker)
  local slots, ordinary, _, _, class = offer_of(worker)
  if slots then
    announce_worker(worker, tonumber(slots), tonumber(ordinary), class)
  end
end

-- Lets the claims that a worker held back wait again, except those in `still`, a set of claim ids.
local function end_holding_back(worker, ids, still)
  for _, id in ipairs(ids or {}) do
    if not (still and still[id]) and redis.call('HGET', key('held_back'), id) == worker then
      redis.call('HDEL', key('held_back'), id)
      local activity, queue = claim_fields(id, 'activity', 'queue')
      resume_waiting(activity, queue, 'held_back')
    end
  end
end

-- Notes that a worker holds these claims back for a rate limit. Claims that it held back at its last
-- renewal (`before`) and does not name now wait again.
local function hold_back(worker, ids, before)
  local still = {}
  for _, id in ipairs(ids) do
    still[id] = true
    local state, activity, queue = claim_fields(id, 'state', 'activity', 'queue')
    if waits[state] and not redis.call('ZSCORE', key('countdown'), id)
        and redis.call('HSETNX', key('held_back'), id, worker) == 1 then
      suspend_waiting(activity, queue, 'held_back')
    end
  end
  end_holding_back(worker, before, still)
end

-- Takes a worker whose lease has ended out of the sums; the claims that it held back wait again.
local function remove_worker(worker)
  local slots, _, offered, used, class = offer_of(worker)
  if not slots then
    return
  end
  redis.call('HDEL', key('offers'), worker)
  add_to_class(class, -slots, -offered, -used, -1)
  move_running(worker, class, '')
  local held = redis.call('HGET', key('held'), worker)
  if held then
    end_holding_back(worker, cjson.decode(held).held_back)
  end
end

-- Counts a run that has begun or ended on a worker, and the slots that the worker uses now. Unlike
-- update_worker() it does not look at the slots that the worker offers: a run does not change them.
local function count_run(activity, worker, by)
  local slots, ordinary, offered, used, class = offer_of(worker)
  count('running', activity .. '|' .. (class or ''), by)
  if class and class ~= '' then
    local uses = math.min(offered, redis.call('SCARD', key('runs', worker)))
    if uses - used ~= 0 then
      add_to_class(class, 0, 0, uses - used, 0)
      set_offer(worker, slots, ordinary, offered, uses, class)
    end
  end
end

local function begin_run(id, activity, worker, now)
  redis.call('SADD', key('runs', worker), id)
  redis.call('ZADD', key('begun', activity), now, id)
  redis.call('ZADD', key('oldest'), 'NX', now, activity)
  count_run(activity, worker, 1)
end

local function end_run(id, activity, worker)
  redis.call('SREM', key('runs', worker), id)
  redis.call('ZREM', key('begun', activity), id)
  count_run(activity, worker, -1)
end

-- Notes that a job still runs though its claim is closed or settled: its slot is not free.
local function mark_unwanted(id, worker)
  if redis.call('HEXISTS', key('offers'), worker) == 1 then
    redis.call('SADD', key('unwanted', worker), id)
    update_worker(worker)
  end
end

local runs_kept, forgotten_ms = 20, 3600000

-- The longest of an activity's last runs, in ms, from its value in `lasted`. Nil: no run has ended
-- within the last hour.
local function longest_of(lasted, now)
  local ms, at = string.match(lasted, '^(%d+) (%d+)')
  if now - at < forgotten_ms then
    return tonumber(ms)
  end
end

-- Notes how long a run of an activity took, in ms.
local function learn(activity, lasted)
  lasted = math.max(0, lasted) -- Redis' clock may go back by a little
  local longest, kept, known = lasted, lasted, redis.call('HGET', key('lasted'), activity)
  if known then
    local before, runs = string.match(known, '^(%d+) %d+ (.*)$')
    local _, more = string.gsub(runs, ' ', ' ')
    local dropped
    if more + 1 >= runs_kept then
      runs, dropped = string.match(runs, '^(.*) (%d+)$')
    end
    if dropped ~= before then
      longest = math.max(longest, before)
    else
      for each in string.gmatch(runs, '%d+') do longest = math.max(longest, each) end
    end
    kept = lasted .. ' ' .. runs
  end
  redis.call('HSET', key('lasted'), activity, string.format('%d %d ', longest, now_ms()) .. kept)
end
