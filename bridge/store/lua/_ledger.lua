-- Put before every script, after _prelude.lua: the ledger, or who occupies what.
--
-- The sums are kept while claims and workers change, so that a grant of polls reads a few numbers and
-- not every worker and claim. Each change of a claim's state goes through _claims.lua, which calls
-- this; each change of a worker through account() or uncount().
--
-- A class is the workers that consume the same queues; its name is these queues, sorted, with line
-- breaks between. A worker offers its slots without those that ordinary tasks occupy, and those that
-- unwanted jobs do: jobs that it still runs though their claim is closed, or settled by another. Of
-- what it offers it uses as much as it runs claims. A draining worker offers nothing and is in no
-- class, nor is one whose lease has ended: what those run takes nothing from the others.
local waits = {claimed = true, queued = true}

local function count(name, field, by)
  if redis.call('HINCRBY', key(name), field, by) <= 0 then
    redis.call('HDEL', key(name), field)
  end
end

local function waiting(activity, queue, by)
  count('waiting', activity .. '|' .. queue, by)
end

-- A claim that waits stops or begins to take room; why: 'countdown' or 'held_back'.
local function set_aside(activity, queue, why)
  waiting(activity, queue, -1)
  count('aside', activity .. '|' .. why, 1)
end

local function bring_back(activity, queue, why)
  count('aside', activity .. '|' .. why, -1)
  waiting(activity, queue, 1)
end

-- A claim waits no more: it begins, or ends. What is removed comes first, for a store at maxmemory.
local function end_waiting(id, activity, queue)
  if redis.call('ZREM', key('countdown'), id) == 1 then
    count('aside', activity .. '|countdown', -1)
  elseif redis.call('HDEL', key('held_back'), id) == 1 then
    count('aside', activity .. '|held_back', -1)
  else
    waiting(activity, queue, -1)
  end
end

local function start_countdown(id, activity, queue, due)
  redis.call('ZADD', key('countdown'), due, id)
  set_aside(activity, queue, 'countdown')
end

-- What was offered, and the class, of a worker that is in the sums: slots, ordinary, offered, used, class.
local function offer_of(worker)
  local offer = redis.call('HGET', key('offers'), worker)
  if offer then
    return string.match(offer, '^(%d+)|(%d+)|(%d+)|(%d+)|(.*)$')
  end
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

-- What a worker runs counts in its class from now on.
local function move_running(worker, from, to)
  for _, id in ipairs(redis.call('SMEMBERS', key('runs', worker))) do
    local activity = redis.call('HGET', key('claim', id), 'activity')
    count('running', activity .. '|' .. from, -1)
    count('running', activity .. '|' .. to, 1)
  end
end

-- Sums up anew what a worker adds to its class. With slots, ordinary and class as it announces them;
-- without, as it did last, and nothing where it has no lease.
local function account(worker, slots, ordinary, class)
  local old_slots, old_ordinary, old_offered, old_used, old_class = offer_of(worker)
  if not old_slots and not slots then
    return
  end
  if not slots then
    slots, ordinary, class = tonumber(old_slots), tonumber(old_ordinary), old_class
  end
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
  redis.call('HSET', key('offers'), worker,
    table.concat({slots, ordinary, offered, used, class}, '|'))
end

-- Brings back what a worker held back; claims for which still is true stay.
local function end_holding_back(worker, ids, still)
  for _, id in ipairs(ids or {}) do
    if not (still and still[id]) and redis.call('HGET', key('held_back'), id) == worker then
      redis.call('HDEL', key('held_back'), id)
      local claim = redis.call('HMGET', key('claim', id), 'activity', 'queue')
      bring_back(claim[1], claim[2], 'held_back')
    end
  end
end

-- The claims that wait on a worker for a rate limit; those of its last renewal that it does not name do
-- wait again.
local function hold_back(worker, ids, before)
  local still = {}
  for _, id in ipairs(ids) do
    still[id] = true
    local claim = redis.call('HMGET', key('claim', id), 'state', 'activity', 'queue')
    if waits[claim[1]] and not redis.call('ZSCORE', key('countdown'), id)
        and redis.call('HSETNX', key('held_back'), id, worker) == 1 then
      set_aside(claim[2], claim[3], 'held_back')
    end
  end
  end_holding_back(worker, before, still)
end

-- Takes a worker whose lease has ended out of the sums; what it held back waits again.
local function uncount(worker)
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

-- Counts a run that has begun or ended on a worker, and what the worker uses now. Unlike account() it does
-- not look at what the worker offers: no run changes that.
local function count_run(activity, worker, by)
  local slots, ordinary, offered, used, class = offer_of(worker)
  count('running', activity .. '|' .. (class or ''), by)
  if class and class ~= '' then
    local uses = math.min(offered, redis.call('SCARD', key('runs', worker)))
    if uses - used ~= 0 then
      add_to_class(class, 0, 0, uses - used, 0)
      redis.call('HSET', key('offers'), worker,
        slots .. '|' .. ordinary .. '|' .. offered .. '|' .. uses .. '|' .. class)
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

-- A job runs on, though its claim is closed or settled: its slot is not free.
local function runs_on(id, worker)
  if redis.call('HEXISTS', key('offers'), worker) == 1 then
    redis.call('SADD', key('unwanted', worker), id)
    account(worker)
  end
end

local runs_kept, forgotten_ms = 20, 3600000

-- The longest of an activity's last runs, in ms, by what is stored of them; nil: it had none for an hour.
local function longest_of(lasted, now)
  local ms, at = string.match(lasted, '^(%d+) (%d+)')
  if now - at < forgotten_ms then
    return tonumber(ms)
  end
end

-- Learns how long runs of an activity take; in ms.
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
