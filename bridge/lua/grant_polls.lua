-- grant_polls: may this poller open more polls? Against the ledger: see _ledger.lua and _room.lua.
-- KEYS[1] root
-- ARGV    poller, lease_ms, look_ahead (claims per slot), look_ahead_ms, most (claims that wait per slot
--         so), then for each activity in the order of its turn: activity, queue, fresh, idle (open polls
--         of this poller), want (how many more), place (region and account of its calls)
-- Returns OOM as an error when Redis is at maxmemory; else
--         slots (of the live workers that serve any of these queues), then for each activity the
--         number of polls granted, and why not more (see Refusal in bridge/store/answers.py)
-- Clock   the leases of workers and pollers; the hold of polls; countdowns that are over
--
-- The stamp is not written first: after a write Redis would no longer say that it is full.
local other = other_schema(true)
if other then
  return other
end
local poller, now = ARGV[1], now_ms()

-- A full store grants nothing: it could not keep what a poll brings. The poller keeps its lease.
local lease = {'ZADD', key('pollers'), now + ARGV[2], poller}
local refused = redis.pcall(unpack(lease))
if type(refused) ~= 'table' then
  refused = nil
elseif string.find(refused.err, 'OOM', 1, true) then
  run_at_maxmemory()
  redis.call(unpack(lease))
else
  return refused
end
if not refused then stamp() end
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', key('pollers'), '-inf', '(' .. now)) do
  redis.call('ZREM', key('pollers'), gone)
  redis.call('DEL', key('polls', gone))
end

-- What this poller says of its own polls is the truth: said anew each time, it cannot drift.
local wishes, said = {}, {}
for i = 6, #ARGV, 6 do
  local wish = {activity = ARGV[i], queue = ARGV[i + 1], poll = ARGV[i] .. '|' .. ARGV[i + 1],
    fresh = tonumber(ARGV[i + 2]), idle = tonumber(ARGV[i + 3]), want = tonumber(ARGV[i + 4]),
    place = ARGV[i + 5], granted = 0, refusal = ''}
  wishes[#wishes + 1] = wish
  if wish.fresh + wish.idle > 0 then
    said[#said + 1] = wish.poll
    said[#said + 1] = wish.fresh .. ' ' .. wish.idle
  end
end
local function say_all(polls)
  for first = 1, #polls, 1000 do
    redis.call('HSET', key('polls', poller), unpack(polls, first, math.min(first + 999, #polls)))
  end
end
redis.call('DEL', key('polls', poller))
say_all(said)
if refused then
  return refused
end

for _, worker in ipairs(redis.call('ZRANGEBYSCORE', key('workers'), '-inf', '(' .. now)) do
  uncount(worker)
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('countdown'), '-inf', now, 'LIMIT', 0, 1000)) do
  local claim = claim_fields(id, 'activity', 'queue')
  redis.call('ZREM', key('countdown'), id)
  bring_back(claim[1], claim[2], 'countdown')
end

local room = measure_room(tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), now)
local pollers = redis.call('ZRANGE', key('pollers'), 0, -1)
local fresh, idle, most_fresh = open_polls(pollers)

local held = {} -- by place
local function is_throttled(place)
  if held[place] == nil then
    held[place] = redis.call('EXISTS', key('throttled', place)) == 1
  end
  return held[place]
end

local function kind_of(activity)
  return room.short_ms(activity) and 'short' or 'long'
end

-- A queue is known to be empty once one poll is idle. While one fresh poll finds out, no other poller
-- opens its first: all of them would become idle, and those beyond the first take room. A poller that
-- has several has found tasks.
local function is_covered(wish)
  local first = wish.fresh == 0 and wish.want == 1
  return (idle[wish.poll] or 0) > 0 or first and most_fresh[wish.poll] == 1
end

local slots, counted, deepest, open = 0, {}, 0, {}
for _, wish in ipairs(wishes) do
  local group = room.group_of(wish.queue)
  wish.group = group
  if group then
    group.mine = group.mine or {short = 0, long = 0}
    local charged = wish.fresh + math.max(0, wish.idle - 1)
    if charged > 0 then
      local kind = kind_of(wish.activity)
      group.mine[kind] = group.mine[kind] + charged
    end
    for _, class in ipairs(group.classes) do
      slots, counted[class] = slots + (counted[class] and 0 or class.S), true
    end
  end
  if wish.want > 0 then
    if is_throttled(wish.place) then
      wish.refusal = 'throttled'
    elseif not group then
      wish.refusal = 'no worker'
    elseif held_back_of(wish.activity) >= group.workers then
      wish.refusal = 'held back'
    elseif is_covered(wish) then
      wish.refusal = 'covered'
    else
      -- In equal parts to all pollers: one that has its part waits for the others to take theirs.
      wish.share = #pollers == 1 and math.huge
        or math.ceil(room.left(wish.activity, group) / #pollers)
      wish.kind, wish.level, open[#open + 1] = kind_of(wish.activity), wish.fresh, wish
      deepest = math.max(deepest, wish.fresh + wish.want)
    end
  end
end
charge_polls(room, fresh, idle)

-- The fewest polls first, one each in turn: no activity may gather several while another has none.
local function grant(wish)
  local mine, kind = wish.group.mine, wish.kind
  if not room.fits(wish.activity, wish.group) then
    wish.refusal = 'no room'
  elseif mine[kind] >= wish.share then
    wish.refusal = 'share'
  else
    room.take(wish.activity, wish.group)
    mine[kind], wish.level = mine[kind] + 1, wish.level + 1
    wish.granted = wish.granted + 1
  end
  return wish.refusal == '' and wish.granted < wish.want
end
for depth = 0, deepest - 1 do
  local still = {}
  for _, wish in ipairs(open) do
    if wish.level > depth or grant(wish) then
      still[#still + 1] = wish
    end
  end
  open = still
end

local answer, polls = {slots}, {}
for _, wish in ipairs(wishes) do
  if wish.granted > 0 then
    polls[#polls + 1] = wish.poll
    polls[#polls + 1] = (wish.fresh + wish.granted) .. ' ' .. wish.idle
  end
  answer[#answer + 1] = wish.granted
  answer[#answer + 1] = wish.refusal
end
say_all(polls)
return answer
