-- grant_polls: how many more polls may this poller open on each of these activities?
-- KEYS[1] root
-- ARGV    poller, lease_ms, look_ahead (claims per slot), look_ahead_ms, most (claims that may wait per
--         slot by time), then for each activity in the order of its turn: activity, queue, fresh, idle
--         (open polls of this poller), want (how many more), place (region and account of its calls)
-- Returns OOM as an error when Redis is at maxmemory; else
--         slots (of the live workers that serve any of these queues), and two lists, for each activity:
--         granted: how many polls; refused: why not more (see PollRefusal in bridge/store/records.py)
-- Clock   the leases of workers and pollers; the hold of polls; countdowns that are over
--
-- It grants against the capacity ledger: see _ledger.lua and _look_ahead.lua.
--
-- The schema is not written first, because after a write Redis would no longer say that it is full.
local other = other_schema(true)
if other then
  return other
end
local poller, lease = ARGV[1], tonumber(ARGV[2])
local look_ahead, look_ahead_ms, most = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local now = now_ms()

-- Each activity has six arguments; those of the n-th one begin at ARGV[6 * n].
local wishes, polls, granted, refused = (#ARGV - 5) / 6, {}, {}, {}
for n = 1, wishes do
  local activity, queue = unpack(ARGV, 6 * n, 6 * n + 1)
  polls[n], granted[n], refused[n] = activity .. '|' .. queue, 0, ''
end

-- A full store grants nothing: it could not keep what a poll brings. The poller keeps its lease.
local renew = {'ZADD', key('pollers'), now + lease, poller}
local full = redis.pcall(unpack(renew))
if type(full) ~= 'table' then
  full = nil
elseif string.find(full.err, 'OOM', 1, true) then
  run_at_maxmemory()
  redis.call(unpack(renew))
else
  return full
end
if not full then write_missing_schema() end
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', key('pollers'), '-inf', '(' .. now)) do
  redis.call('ZREM', key('pollers'), gone)
  redis.call('DEL', key('polls', gone))
end

-- Calls a command with the values of a list, in chunks: Lua's stack limits the number of arguments.
local function call_with_all(command, at, values)
  for first = 1, #values, 1000 do
    redis.call(command, at, unpack(values, first, min(first + 999, #values)))
  end
end

-- Stores the open polls of this poller, with those that are granted. The poller names all of them at
-- each call, so that the stored numbers cannot drift; only those that have changed are written.
local function store_polls()
  local known, flat = {}, redis.call('HGETALL', key('polls', poller))
  for i = 1, #flat, 2 do known[flat[i]] = flat[i + 1] end
  local changed, gone = {}, {}
  for n = 1, wishes do
    local poll, fresh, idle = polls[n], unpack(ARGV, 6 * n + 2, 6 * n + 3)
    if granted[n] > 0 then fresh = fresh + granted[n] end
    if fresh ~= '0' or idle ~= '0' then
      local open = fresh .. ' ' .. idle
      if known[poll] ~= open then
        changed[#changed + 1], changed[#changed + 2] = poll, open
      end
      known[poll] = nil
    end
  end
  for poll in pairs(known) do gone[#gone + 1] = poll end
  call_with_all('HDEL', key('polls', poller), gone)
  call_with_all('HSET', key('polls', poller), changed)
end
if full then
  store_polls()
  return full
end

for _, worker in ipairs(redis.call('ZRANGEBYSCORE', key('workers'), '-inf', '(' .. now)) do
  remove_worker(worker)
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('countdown'), '-inf', now, 'LIMIT', 0, 1000)) do
  local activity, queue = claim_fields(id, 'activity', 'queue')
  redis.call('ZREM', key('countdown'), id)
  resume_waiting(activity, queue, 'countdown')
end

local room = measure_room(look_ahead, look_ahead_ms, most, now, true)
local group_of, shorts, held_back = room.group_of, room.shorts, read_held_back()
local pollers = redis.call('ZRANGE', key('pollers'), 0, -1)
local fresh, idle, most_fresh = open_polls(pollers, poller)

-- How much room the polls of this poller take, by group: those of short activities, and of long ones.
local taken_by_short, taken_by_long = {}, {}
local slots, counted = 0, {}

local function count_slots(group)
  counted[group] = true
  for _, class in ipairs(group.classes) do
    slots, counted[class] = slots + (counted[class] and 0 or class.slots), true
  end
end

local throttled = {} -- by place; asked once
local function holds_polls(place)
  if throttled[place] == nil then throttled[place] = is_throttled(place) end
  return throttled[place]
end

local open, deepest = {}, 0
for n = 1, wishes do
  local poll = polls[n]
  local activity, queue, its_fresh, its_idle, want, place = unpack(ARGV, 6 * n, 6 * n + 5)
  local group, short_ms = group_of(queue), shorts[activity]
  local mine = short_ms and taken_by_short or taken_by_long
  if group and not counted[group] then count_slots(group) end
  if its_fresh ~= '0' or its_idle ~= '0' then
    fresh[poll], idle[poll] = (fresh[poll] or 0) + its_fresh, (idle[poll] or 0) + its_idle
    local charged = claims_of_polls(its_fresh, its_idle)
    if group and charged > 0 then
      mine[group] = (mine[group] or 0) + charged
    end
  end
  if want == '0' then
    -- Nothing to refuse.
  elseif holds_polls(place) then
    refused[n] = 'throttled'
  elseif not group then
    refused[n] = 'no worker'
  elseif held_back[activity] and held_back[activity] >= group.workers then
    refused[n] = 'held back'
  elseif (idle[poll] or 0) > 0 then
    refused[n] = 'covered' -- an idle poll has found the activity's queue empty
  elseif its_fresh == '0' and want == '1' and most_fresh[poll] == 1 then
    -- One fresh poll of another poller finds out whether the queue is empty. If each poller opened its
    -- first poll now, all might become idle, and those beyond the first would take room. A poller that
    -- has several polls has found tasks.
    refused[n] = 'covered'
  else
    -- All pollers have equal parts of the room: one that has its part waits for the others to take
    -- theirs.
    local share = #pollers > 1 and ceil(room.left(group, short_ms) / #pollers) or math.huge
    open[#open + 1] = {n = n, group = group, short_ms = short_ms, mine = mine, share = share,
      level = tonumber(its_fresh), wanted = its_fresh + want}
    deepest = max(deepest, its_fresh + want)
  end
end
if #open > 0 then charge_polls(room, fresh, idle) end

-- Grants one poll if there is room; returns whether to try another one for this wish.
local take, fits = room.take, room.fits
local function grant(wish)
  local group, mine, n = wish.group, wish.mine, wish.n
  local has = mine[group] or 0
  if not fits(group, wish.short_ms) then
    refused[n] = 'no room'
    return false
  elseif has >= wish.share then
    refused[n] = 'share'
    return false
  end
  take(group, wish.short_ms)
  mine[group], wish.level, granted[n] = has + 1, wish.level + 1, granted[n] + 1
  return wish.level < wish.wanted
end

-- Activities with the fewest fresh polls come first, with one poll each in turn: no activity gathers
-- several while another has none.
for depth = 0, deepest - 1 do
  local still = {}
  for _, wish in ipairs(open) do
    if wish.level > depth or grant(wish) then
      still[#still + 1] = wish
    end
  end
  open = still
end

store_polls()
return {slots, granted, refused}
