-- grant_polls: may this poller open more polls? Against free slots only, fleet-wide.
-- KEYS[1] root
-- ARGV    poller, lease_ms, look_ahead (claims per slot), then for each activity in the order of
--         its turn: activity, queue, open (this poller's open polls), want (how many more),
--         place (region and account of its calls)
-- Returns OOM as an error when Redis is at maxmemory; else
--         slots (of the live workers that serve any of these queues), then for each activity the
--         number of polls granted, none while calls that matter more are throttled; and 1 if its open
--         polls may be opened again as they come home empty, 0 if others want their slots
-- Clock   the leases of workers and pollers; the hold of polls
--
-- Workers serve several queues each, so what is free for one queue depends on the others. By Hall's
-- theorem all claims fit their workers if every set of queues fits the workers that serve any of
-- it. Queues of the same workers form a group; beyond max_groups groups only each group alone and
-- all of them together are checked, which may hold one group's claims back behind another's.
-- No stamp is written here: after a write Redis would no longer say that it is full.
local other = other_schema(true)
if other then
  return other
end
local max_groups = 8
local poller, now, look_ahead = ARGV[1], now_ms(), tonumber(ARGV[3])

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
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', key('pollers'), '-inf', '(' .. now)) do
  redis.call('ZREM', key('pollers'), gone)
  redis.call('DEL', key('polls', gone))
end

-- What this poller says of its own polls is the truth: said anew each time, it cannot drift.
redis.call('DEL', key('polls', poller))
local wishes = {}
for i = 4, #ARGV, 6 do
  local wish = {poll = ARGV[i] .. '|' .. ARGV[i + 1], queue = ARGV[i + 1],
    open = ARGV[i + 2] + ARGV[i + 3], want = tonumber(ARGV[i + 4]), place = ARGV[i + 5],
    granted = 0}
  wishes[#wishes + 1] = wish
  if wish.open > 0 then
    redis.call('HSET', key('polls', poller), wish.poll, wish.open)
  end
end

if refused then
  return refused
end

local open_in, claims_in = {}, {} -- by queue
local pollers = redis.call('ZRANGE', key('pollers'), 0, -1)
for _, each in ipairs(pollers) do
  local polls = redis.call('HGETALL', key('polls', each))
  for i = 1, #polls, 2 do
    local queue = string.match(polls[i], '|(.*)$')
    open_in[queue] = (open_in[queue] or 0) + tonumber(polls[i + 1])
  end
end
local claims = redis.call('HGETALL', key('load'))
for i = 1, #claims, 2 do
  claims_in[claims[i]] = tonumber(claims[i + 1])
end

local slots_of, serving = {}, {} -- by worker; by queue: its workers, as one text
for index, worker in ipairs(redis.call('ZRANGEBYSCORE', key('workers'), now, '+inf')) do
  local info = cjson.decode(redis.call('HGET', key('fleet'), worker))
  slots_of[index] = info.slots
  for _, queue in ipairs(info.queues) do
    serving[queue] = (serving[queue] or '') .. index .. ' '
  end
end

local group_of, groups = {}, {} -- by the text of serving; those that anything runs or waits in
local function group_for(queue)
  local workers = serving[queue]
  if not workers then
    return nil -- nobody serves it: no poll, and its claims use nobody's slots
  end
  local group = group_of[workers]
  if not group then
    group = {bit = 2 ^ #groups, claims = 0, open = 0, mine = 0, workers = {}}
    for index in string.gmatch(workers, '%d+') do
      group.workers[tonumber(index)] = true
    end
    groups[#groups + 1], group_of[workers] = group, group
  end
  return group
end
for queue, count in pairs(claims_in) do
  local group = group_for(queue)
  if group then group.claims = group.claims + count end
end
for queue, count in pairs(open_in) do
  local group = group_for(queue)
  if group then group.open = group.open + count end
end
for _, wish in ipairs(wishes) do
  wish.group = group_for(wish.queue)
  if wish.group then wish.group.mine = wish.group.mine + wish.open end
end

local everything, sets, slots = 2 ^ #groups - 1, {}, 0
local function add_set(mask)
  local set, workers, total = {has = {}, used = 0}, {}, 0
  for _, group in ipairs(groups) do
    if math.floor(mask / group.bit) % 2 == 1 then
      set.has[group] = true
      set.used = set.used + group.claims + group.open
      for index in pairs(group.workers) do
        total = total + (workers[index] and 0 or slots_of[index])
        workers[index] = true
      end
    end
  end
  set.room = math.ceil(total * look_ahead)
  sets[#sets + 1] = set
  if mask == everything then slots = total end
  return set
end
for _, group in ipairs(groups) do
  local set = add_set(group.bit)
  -- In equal parts to all pollers: one that holds its part waits for the others to take theirs.
  group.share = math.ceil(math.max(set.room - group.claims, 0) / #pollers)
end
if #groups <= max_groups then
  for mask = 1, everything do add_set(mask) end
elseif #groups > 0 then
  add_set(everything)
end

local held = {} -- by place
local function is_held(place)
  if held[place] == nil then
    held[place] = redis.call('EXISTS', key('throttled', place)) == 1
  end
  return held[place]
end

local function has_room(group, more)
  for _, set in ipairs(sets) do
    if set.has[group] and set.used + more > set.room then return false end
  end
  return true
end

-- The fewest polls first, one each in turn: an open poll keeps its slot for up to a minute, so no
-- activity may gather several while another has none.
local function level(wish)
  return wish.open + wish.granted
end
local most = 0
for _, wish in ipairs(wishes) do
  most = math.max(most, wish.open + wish.want)
end
for depth = 0, most - 1 do
  for _, wish in ipairs(wishes) do
    if wish.group and level(wish) == depth and wish.granted < wish.want
        and has_room(wish.group, 1)
        and wish.group.mine < wish.group.share and not is_held(wish.place) then
      wish.granted = wish.granted + 1
      wish.group.mine = wish.group.mine + 1
      for _, set in ipairs(sets) do
        if set.has[wish.group] then set.used = set.used + 1 end
      end
    end
  end
end

local granted = {slots}
for _, wish in ipairs(wishes) do
  if wish.granted > 0 then
    redis.call('HINCRBY', key('polls', poller), wish.poll, wish.granted)
  end
  granted[#granted + 1] = wish.granted
  granted[#granted + 1] = wish.granted < wish.want and 'no room' or ''
end
return granted
