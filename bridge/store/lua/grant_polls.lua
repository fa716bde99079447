-- grant_polls: may this poller open more polls? Against the ledger: see _ledger.lua and _room.lua.
-- KEYS[1] root
-- ARGV    poller, lease_ms, look_ahead (claims per slot), look_ahead_ms, most (claims that wait per slot
--         so), then for each activity in the order of its turn: activity, queue, fresh, idle (open polls
--         of this poller), want (how many more), place (region and account of its calls)
-- Returns OOM as an error when Redis is at maxmemory; else
--         slots (of the live workers that serve any of these queues), then for each activity the
--         number of polls granted, and why not more (see PollRefusal in bridge/store/records.py)
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
-- Each wish has six arguments, the first of the n-th one is ARGV[6 * n].
local wishes, polls, granted, refusal = (#ARGV - 5) / 6, {}, {}, {}
for n = 1, wishes do
  polls[n], granted[n], refusal[n] = ARGV[6 * n] .. '|' .. ARGV[6 * n + 1], 0, ''
end
-- Only what has changed is written.
local known, own = {}, redis.call('HGETALL', key('polls', poller))
for i = 1, #own, 2 do known[own[i]] = own[i + 1] end
local function say_all()
  local said, gone = {}, {}
  for n = 1, wishes do
    local poll, fresh, idle = polls[n], ARGV[6 * n + 2], ARGV[6 * n + 3]
    if granted[n] > 0 then fresh = fresh + granted[n] end
    if fresh ~= '0' or idle ~= '0' then
      local open = fresh .. ' ' .. idle
      if known[poll] ~= open then
        said[#said + 1] = poll
        said[#said + 1] = open
      end
      known[poll] = nil
    end
  end
  for poll in pairs(known) do gone[#gone + 1] = poll end
  for first = 1, #gone, 1000 do
    redis.call('HDEL', key('polls', poller), unpack(gone, first, min(first + 999, #gone)))
  end
  for first = 1, #said, 1000 do
    redis.call('HSET', key('polls', poller), unpack(said, first, min(first + 999, #said)))
  end
end
if refused then
  say_all()
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

local room = measure_room(tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), now, true)
local pollers = redis.call('ZRANGE', key('pollers'), 0, -1)
local fresh, idle, most_fresh = open_polls(pollers, poller)

local held = {} -- by place
local function is_throttled(place)
  local found = held[place]
  if found == nil then
    found = redis.call('EXISTS', key('throttled', place)) == 1
    held[place] = found
  end
  return found
end

-- What this poller has of its part of the room: by group, of that for short and for long activities.
local mine_of = {short = {}, long = {}}
local several = #pollers > 1
local slots, counted, deepest, open = 0, {}, 0, {}
local group_of, shorts, held_back = room.group_of, room.shorts, held_back_claims()
for n = 1, wishes do
  local at, poll = 6 * n, polls[n]
  local activity, its_fresh, its_idle, want = ARGV[at], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local group = group_of(ARGV[at + 1])
  if group and not counted[group] then
    counted[group] = true
    for _, class in ipairs(group.classes) do
      slots, counted[class] = slots + (counted[class] and 0 or class.S), true
    end
  end
  if its_fresh ~= '0' or its_idle ~= '0' then
    fresh[poll], idle[poll] = (fresh[poll] or 0) + its_fresh, (idle[poll] or 0) + its_idle
    local charged = its_fresh + max(0, its_idle - 1)
    if group and charged > 0 then
      local mine = mine_of[shorts[activity] and 'short' or 'long']
      mine[group] = (mine[group] or 0) + charged
    end
  end
  if want ~= '0' then
    if is_throttled(ARGV[at + 5]) then
      refusal[n] = 'throttled'
    elseif not group then
      refusal[n] = 'no worker'
    elseif held_back[activity] and held_back[activity] >= group.workers then
      refusal[n] = 'held back'
    -- A queue is known to be empty once one poll is idle. While one fresh poll finds out, no other poller
    -- opens its first: all of them would become idle, and those beyond the first take room. A poller that
    -- has several has found tasks.
    elseif (idle[poll] or 0) > 0
        or its_fresh == '0' and want == '1' and most_fresh[poll] == 1 then
      refusal[n] = 'covered'
    else
      local short_ms, level = shorts[activity], tonumber(its_fresh)
      open[#open + 1] = {n = n, group = group, short_ms = short_ms, level = level, wanted = level + want,
        mine = mine_of[short_ms and 'short' or 'long'],
        -- In equal parts to all pollers: one that has its part waits for the others to take theirs.
        share = several and math.ceil(room.left(group, short_ms) / #pollers) or math.huge}
      deepest = max(deepest, level + want)
    end
  end
end
if #open > 0 then charge_polls(room, fresh, idle) end

-- The fewest polls first, one each in turn: no activity may gather several while another has none.
local take, fits = room.take, room.fits
local function grant(wish)
  local group, mine, n = wish.group, wish.mine, wish.n
  local has = mine[group] or 0
  if not fits(group, wish.short_ms) then
    refusal[n] = 'no room'
    return false
  elseif has >= wish.share then
    refusal[n] = 'share'
    return false
  end
  take(group, wish.short_ms)
  mine[group], wish.level, granted[n] = has + 1, wish.level + 1, granted[n] + 1
  return wish.level < wish.wanted
end
for depth = 0, deepest - 1 do
  local still = {}
  for i = 1, #open do
    local wish = open[i]
    if wish.level > depth or grant(wish) then
      still[#still + 1] = wish
    end
  end
  open = still
end

say_all()
local answer = {slots}
for n = 1, wishes do
  answer[2 * n], answer[2 * n + 1] = granted[n], refusal[n]
end
return answer
