-- Put before grant_polls and read_room, after _flow.lua: for how many more claims there is room.
--
-- A charged claim is one that waits, or a poll that counts as one: each fresh poll, and each idle poll
-- beyond the first of its activity. Two rules limit their number; docs/ledger.md explains both with an
-- example:
--
-- by count: the workers of a class take ceil(look_ahead x offered) - used charged claims. A charged
--   claim goes to any class that serves its queue; _flow.lua finds which.
-- by time, for short activities only. An activity is short if its last runs, and its runs that have not
--   ended, took look_ahead_ms at most. For every slot that no long claim takes, look_ahead_ms of short
--   activities' work may wait. Each of their claims counts for a least time, so that no more than `most`
--   claims wait for each slot, those that wait by count included.
--
-- Short claims also take room by count. When a long activity asks, the short claims of a group take one
-- place for each full look_ahead_ms of their work: a few milliseconds of work keep no long activity out.
-- When a short activity asks, each short claim that exceeds the room by time takes one place: no more
-- short claims wait behind long claims than long ones would.

-- Whether the oldest run of the activity that has not ended began more than look_ahead_ms ago. The value
-- in `oldest` may be that of a run which has ended; if so, it is corrected here.
local function runs_late(activity, look_ahead_ms, now, may_write)
  local _, began = unpack(redis.call('ZRANGE', key('begun', activity), 0, 0, 'WITHSCORES'))
  if began and now - began > look_ahead_ms then
    return true
  end
  if may_write and began then
    redis.call('ZADD', key('oldest'), began, activity)
  elseif may_write then
    redis.call('ZREM', key('oldest'), activity)
  end
  return false
end

-- The short activities, and how long a run of each takes at most, in ms.
local function read_shorts(look_ahead_ms, now, may_write)
  local shorts, late = {}, {}
  local oldest = redis.call('ZRANGEBYSCORE', key('oldest'), '-inf', '(' .. now - look_ahead_ms)
  for i = 1, #oldest do late[oldest[i]] = true end
  local lasted = redis.call('HGETALL', key('lasted'))
  for i = 1, #lasted, 2 do
    local activity, ms = lasted[i], longest_of(lasted[i + 1], now)
    if ms and ms <= look_ahead_ms
        and not (late[activity] and runs_late(activity, look_ahead_ms, now, may_write)) then
      shorts[activity] = ms
    end
  end
  return shorts
end

-- Counts in each class the claims of long activities that its workers run.
local function read_long_runs(class_called, shorts)
  local running = redis.call('HGETALL', key('running'))
  for i = 1, #running, 2 do
    local bar = find(running[i], '|', 1, true)
    local class = class_called[sub(running[i], bar + 1)]
    if class and not shorts[sub(running[i], 1, bar - 1)] then
      class.long = class.long + running[i + 1]
    end
  end
end

-- Finds the groups that share a class with a group (`near`, with the group itself), and the slots of
-- its classes that no long claim takes (`free`).
local function find_near(group, groups)
  local mine = {}
  group.groups, group.near, group.free = #groups, {}, 0
  for _, class in ipairs(group.classes) do
    mine[class], group.free = true, group.free + max(0, class.offered - class.long)
  end
  for _, other in ipairs(groups) do
    for _, class in ipairs(other.classes) do
      if mine[class] then
        group.near[#group.near + 1] = other
        break
      end
    end
  end
end

-- Measures the room that is left when all claims that wait now are charged; later charges take of it. In
-- its functions short_ms is how long a run of the activity takes at most; nil: the activity is long.
--
-- look_ahead: claims per slot. now: the store's clock, Unix ms. may_write: whether the script writes.
local function measure_room(look_ahead, look_ahead_ms, most, now, may_write)
  local most_by_time = most - (look_ahead - 1)
  local classes, class_called = read_classes(look_ahead)
  local groups, group_of = new_groups(classes)
  local by_time = look_ahead_ms > 0 and most_by_time > 0
  local shorts = by_time and read_shorts(look_ahead_ms, now, may_write) or {}
  local room = {group_of = group_of, shorts = shorts}

  -- Claims of long activities are placed in the first flow; the second one is for short claims that find
  -- no room by time. `counted_at` is the number of charges that the second flow knows of.
  local for_long, for_short, counted_at, charges = new_flow(classes), nil, -1, 0

  local function least_ms(short_ms)
    return max(short_ms, look_ahead_ms / most_by_time)
  end

  local function charge(group, short_ms, claims)
    group.charged, charges = group.charged + claims, charges + 1
    if not short_ms then
      group.long = group.long + claims
      place_claims(for_long, group, claims)
      return
    end
    local before = floor(group.part_ms / look_ahead_ms)
    group.short_ms = group.short_ms + claims * least_ms(short_ms)
    group.part_ms = group.part_ms + claims * short_ms
    place_claims(for_long, group, floor(group.part_ms / look_ahead_ms) - before)
  end

  -- Charges claims of "<activity>|<queue>" that exist already, whether they fit or not.
  function room.charge(of, claims)
    local bar = find(of, '|', 1, true)
    local group = group_of(sub(of, bar + 1))
    if group and claims > 0 then -- a claim that no worker serves takes no room
      charge(group, shorts[sub(of, 1, bar - 1)], claims)
    end
  end

  -- Room by time of a group and those near it, and how much of it short claims take; in ms.
  local long_runs_are_read = false
  function room.time(group)
    if group.timed_at == charges then
      return group.time_ms, group.taken_ms
    end
    if not long_runs_are_read then
      long_runs_are_read = true
      read_long_runs(class_called, shorts)
    end
    if group.groups ~= #groups then
      find_near(group, groups)
    end
    local near, free, taken = group.near, group.free, 0
    for i = 1, #near do
      free, taken = free - near[i].long, taken + near[i].short_ms
    end
    group.timed_at, group.time_ms, group.taken_ms = charges, max(0, free) * look_ahead_ms, taken
    return group.time_ms, taken
  end

  local function has_time(group, short_ms)
    local free, taken = room.time(group)
    return taken + least_ms(short_ms) <= free + trifle
  end

  -- The flow for short activities, with all charges so far. Of the claims that exceed the room by time,
  -- each of the groups that share it takes its part.
  local function flow_for_short()
    for_short = for_short or new_flow(classes)
    if counted_at ~= charges then
      counted_at = charges
      for _, group in ipairs(groups) do
        local free, taken = room.time(group)
        local exceed = 0
        if taken > free + trifle then
          exceed = ceil((group.charged - group.long) * (taken - free) / taken - trifle)
        end
        place_claims(for_short, group, group.long + exceed - group.counted)
        group.counted = group.long + exceed
      end
    end
    return for_short
  end

  -- Whether one more claim fits.
  function room.fits(group, short_ms)
    if not short_ms then
      return has_spare(for_long, group)
    end
    return has_time(group, short_ms) or has_spare(flow_for_short(), group)
  end

  -- Charges one more claim, which fits.
  function room.take(group, short_ms)
    charge(group, short_ms, 1)
  end

  -- How many more claims fit.
  function room.left(group, short_ms)
    if not short_ms then
      return room_left(for_long, group)
    end
    local free, taken = room.time(group)
    return room_left(flow_for_short(), group)
      + max(0, floor((free - taken) / least_ms(short_ms) + trifle))
  end

  local waits_now = redis.call('HGETALL', key('waiting'))
  for i = 1, #waits_now, 2 do
    room.charge(waits_now[i], tonumber(waits_now[i + 1]))
  end
  return room
end
