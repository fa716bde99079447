-- Put before grant_polls and read_room, after _look_ahead.lua: open polls, and the other reasons for which
-- a poll may be refused.

-- The numbers in "<fresh> <idle>"; remembered, because many polls have the same.
local numbers_of = {}
local function fresh_and_idle(open)
  local numbers = numbers_of[open]
  if not numbers then
    local fresh, idle = match(open, '^(%d+) (%d+)$')
    numbers = {tonumber(fresh), tonumber(idle)}
    numbers_of[open] = numbers
  end
  return numbers[1], numbers[2]
end

-- The open polls of all these pollers but one, by "<activity>|<queue>": fresh ones, idle ones, and the
-- most fresh ones that a single poller has.
local function open_polls(pollers, but)
  local fresh, idle, most = {}, {}, {}
  for _, poller in ipairs(pollers) do
    local polls = poller ~= but and redis.call('HGETALL', key('polls', poller)) or {}
    for i = 1, #polls, 2 do
      local poll, its_fresh, its_idle = polls[i], fresh_and_idle(polls[i + 1])
      fresh[poll] = (fresh[poll] or 0) + its_fresh
      idle[poll] = (idle[poll] or 0) + its_idle
      if its_fresh > (most[poll] or 0) then most[poll] = its_fresh end
    end
  end
  return fresh, idle, most
end

-- How many claims some open polls of one activity count for.
local function claims_of_polls(fresh, idle)
  return fresh + max(0, idle - 1)
end

local function charge_polls(room, fresh, idle)
  for poll, open in pairs(fresh) do
    local charged = claims_of_polls(open, idle[poll])
    if charged > 0 then room.charge(poll, charged) end
  end
end

local function is_throttled(place)
  return redis.call('EXISTS', key('throttled', place)) == 1
end

-- By activity, how many of its claims workers hold back for a rate limit.
local function read_held_back()
  local held, aside = {}, redis.call('HGETALL', key('aside'))
  for i = 1, #aside, 2 do
    local activity = match(aside[i], '^(.*)|held_back$')
    if activity then held[activity] = tonumber(aside[i + 1]) end
  end
  return held
end
