-- Put before grant_polls and read_room, after _claims.lua: how many more claims the workers take.
--
-- A charged claim is one that waits, or a poll that counts as one: a fresh poll, and an idle poll beyond
-- the first of its activity. Two rules bound them, and docs/ledger.md explains both with an example:
--
-- by count: the workers of a class take ceil(look_ahead x offered) - used charged claims. A charged claim
--   goes to any class that serves its queue. Which one is found as the maximum flow from groups of
--   queues (served by the same classes) to classes: claims are moved from class to class along
--   augmenting paths, so that a poll is refused only if all claims together do not fit.
-- by time, for short activities only: those whose last runs, and what runs now, took look_ahead_ms at
--   most. For every slot that no long claim takes, look_ahead_ms of their work may wait; each counts for
--   so much at least that with those that wait by count no more than most wait a slot.
--
-- For long activities, short claims count by count for the part of look_ahead_ms that they take, rounded
-- down: milliseconds of work keep no long activity out. For short ones, those that exceed the room by
-- time count by count, each whole: behind long claims no more of them wait than long ones would.
local ARGV, redis, tonumber = ARGV, redis, tonumber
local find, sub, match = string.find, string.sub, string.match
local ceil, floor, max, min = math.ceil, math.floor, math.max, math.min
local trifle = 0.000001 -- binary fractions add so much, and 11 would be rounded up to 12

-- look_ahead: claims per slot. now: the store's clock, Unix ms.
-- may_write: whether the script writes.
local function measure_room(look_ahead, look_ahead_ms, most, now, may_write)
  local room, most_by_time = {}, most - (look_ahead - 1)
  local classes, class_called, serving = {}, {}, {}
  local groups, group_called, group_of_queue = {}, {}, {}

  local sums = redis.call('HGETALL', key('classes'))
  for i = 1, #sums, 2 do
    local kind, name = sub(sums[i], 1, 1), sub(sums[i], 3)
    local class = class_called[name]
    if not class then
      class = {name = name, S = 0, E = 0, U = 0, N = 0, long = 0}
      classes[#classes + 1], class_called[name] = class, class
    end
    class[kind] = tonumber(sums[i + 1])
  end
  for index, class in ipairs(classes) do
    class.room = max(0, ceil(class.E * look_ahead - trifle) - class.U)
    for queue in string.gmatch(class.name, '[^\n]+') do
      local served_by = serving[queue]
      if served_by then
        served_by[#served_by + 1], served_by.name = class, served_by.name .. ' ' .. index
      else
        serving[queue] = {class, name = '' .. index}
      end
    end
  end

  -- The queues that the same classes serve; nil: no worker serves the queue.
  local function group_of(queue)
    local group = group_of_queue[queue]
    if group then
      return group
    end
    local served_by = serving[queue]
    if not served_by then
      return nil
    end
    group = group_called[served_by.name]
    if not group then
      group = {classes = served_by, slots = 0, offered = 0, used = 0, workers = 0, charged = 0,
        counted = 0, long = 0, short_ms = 0, part_ms = 0}
      for _, class in ipairs(served_by) do
        group.slots, group.offered = group.slots + class.S, group.offered + class.E
        group.used, group.workers = group.used + class.U, group.workers + class.N
      end
      groups[#groups + 1], group_called[served_by.name] = group, group
    end
    group_of_queue[queue] = group
    return group
  end
  room.group_of = group_of

  -- Whether a run of the activity is on for longer than look_ahead_ms. Of the oldest one only its begin
  -- was noted; it may have ended since.
  local function runs_late(activity)
    local first = redis.call('ZRANGE', key('begun', activity), 0, 0, 'WITHSCORES')
    if first[2] and now - first[2] > look_ahead_ms then
      return true
    end
    if may_write and first[2] then
      redis.call('ZADD', key('oldest'), first[2], activity)
    elseif may_write then
      redis.call('ZREM', key('oldest'), activity)
    end
    return false
  end

  -- How long a run takes at most, in ms, by activity; of short ones only.
  local shorts = {}
  room.shorts = shorts
  if look_ahead_ms > 0 and most_by_time > 0 then
    local late = {}
    local oldest = redis.call('ZRANGEBYSCORE', key('oldest'), '-inf', '(' .. now - look_ahead_ms)
    for i = 1, #oldest do late[oldest[i]] = true end
    local lasted = redis.call('HGETALL', key('lasted'))
    for i = 1, #lasted, 2 do
      local activity, ms = lasted[i], longest_of(lasted[i + 1], now)
      if ms and ms <= look_ahead_ms
          and not (late[activity] and runs_late(activity)) then
        shorts[activity] = ms
      end
    end
  end

  -- Which claims find room in which class: a maximum flow.
  local function new_flow()
    local flow = {spare = {}, sent = {}, full = {}, left = {}}
    for _, class in ipairs(classes) do
      flow.spare[class], flow.sent[class] = class.room, {}
    end
    return flow
  end

  -- Finds room for up to so many claims more of a group along one path; returns for how many, and the
  -- path: groups and classes from where there is room to the group.
  local function augment(flow, group, claims)
    local reached, came_from, came_by, next_one = {group}, {}, {}, 1
    local seen = {[group] = true}
    while reached[next_one] do
      local here = reached[next_one]
      next_one = next_one + 1
      for _, class in ipairs(here.classes) do
        if not came_from[class] then
          came_from[class] = here
          if flow.spare[class] > 0 then
            local path, fit, at = {class, here}, min(claims, flow.spare[class]), here
            while at ~= group do
              local by = came_by[at]
              fit, at = min(fit, flow.sent[by][at]), came_from[by]
              path[#path + 1], path[#path + 2] = by, at
            end
            return fit, path
          end
          for other, sent in pairs(flow.sent[class]) do
            if sent > 0 and not seen[other] then
              seen[other], came_by[other] = true, class
              reached[#reached + 1] = other
            end
          end
        end
      end
    end
    return 0, reached
  end

  -- Claims of each group on the path move to the class before it; with fewer than none: back.
  local function send(flow, path, claims)
    flow.spare[path[1]] = flow.spare[path[1]] - claims
    for i = 1, #path, 2 do
      local class, group, next_class = path[i], path[i + 1], path[i + 2]
      flow.sent[class][group] = (flow.sent[class][group] or 0) + claims
      if next_class then
        flow.sent[next_class][group] = flow.sent[next_class][group] - claims
      end
    end
  end

  -- Room never comes back in this grant: groups from which none was found have none any more.
  local function mark_full(flow, reached)
    for _, each in ipairs(reached) do flow.full[each] = true end
  end

  -- Finds room for as many of these claims as there is room for; returns for how many.
  local function place(flow, group, claims)
    if claims <= 0 then
      return 0
    end
    local left = claims
    for _, class in ipairs(group.classes) do
      local spare = flow.spare[class]
      if left > 0 and spare > 0 then
        local fit, sent = min(spare, left), flow.sent[class]
        flow.spare[class], sent[group] = spare - fit, (sent[group] or 0) + fit
        left = left - fit
      end
    end
    while left > 0 and not flow.full[group] do
      local fit, path = augment(flow, group, left)
      if fit > 0 then
        send(flow, path, fit)
        left = left - fit
      else
        mark_full(flow, path)
      end
    end
    return claims - left
  end

  local function has_place(flow, group)
    if flow.full[group] then
      return false
    end
    for _, class in ipairs(group.classes) do
      if flow.spare[class] > 0 then
        return true
      end
    end
    local fit, reached = augment(flow, group, 1)
    if fit == 0 then mark_full(flow, reached) end
    return fit > 0
  end

  -- For how many claims more of the group there is room; asked before any poll is charged.
  local function room_left(flow, group)
    if flow.left[group] then
      return flow.left[group]
    end
    local total, own, sends, alone = 0, {}, {}, true
    for _, class in ipairs(group.classes) do
      local spare = flow.spare[class]
      own[class], total, flow.spare[class] = spare, total + spare, 0
      for other, claims in pairs(flow.sent[class]) do
        alone = alone and (other == group or claims == 0)
      end
    end
    local fit, path = 0, nil
    if not alone then fit, path = augment(flow, group, math.huge) end
    while fit > 0 do
      send(flow, path, fit)
      sends[#sends + 1], total = {path, fit}, total + fit
      fit, path = augment(flow, group, math.huge)
    end
    for i = #sends, 1, -1 do
      send(flow, sends[i][1], -sends[i][2])
    end
    for class, spare in pairs(own) do
      flow.spare[class] = spare
    end
    flow.left[group] = total
    return total
  end

  local function least_ms(short_ms)
    return max(short_ms, look_ahead_ms / most_by_time)
  end

  -- One for long activities, and one for short ones that find no room by time: see above.
  local for_long, for_short, counted_at, charges = new_flow(), nil, -1, 0

  local function charge(group, short_ms, claims)
    group.charged, charges = group.charged + claims, charges + 1
    if not short_ms then
      group.long = group.long + claims
      place(for_long, group, claims)
      return
    end
    local before = floor(group.part_ms / look_ahead_ms)
    group.short_ms = group.short_ms + claims * least_ms(short_ms)
    group.part_ms = group.part_ms + claims * short_ms
    place(for_long, group, floor(group.part_ms / look_ahead_ms) - before)
  end

  -- Charges claims of "<activity>|<queue>" that are there already, whether they fit or not.
  local function charge_claims(of, claims)
    local bar = find(of, '|', 1, true)
    local group = group_of(sub(of, bar + 1))
    if group and claims > 0 then -- without a worker they take the room of none
      charge(group, shorts[sub(of, 1, bar - 1)], claims)
    end
  end
  room.charge = charge_claims

  -- Claims of long activities that the workers of each class run.
  local function read_running()
    local runs = redis.call('HGETALL', key('running'))
    for i = 1, #runs, 2 do
      local bar = find(runs[i], '|', 1, true)
      local class = class_called[sub(runs[i], bar + 1)]
      if class and not shorts[sub(runs[i], 1, bar - 1)] then
        class.long = class.long + runs[i + 1]
      end
    end
  end
  local running_is_read = false

  -- Room by time around a group, and what short claims take of it; in ms.
  function room.time(group)
    if group.timed_at == charges then
      return group.time_ms, group.taken_ms
    end
    if not running_is_read then
      running_is_read = true
      read_running()
    end
    if group.groups ~= #groups then
      local mine = {}
      group.groups, group.near, group.free = #groups, {}, 0
      for _, class in ipairs(group.classes) do
        mine[class], group.free = true, group.free + max(0, class.E - class.long)
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

  -- The flow for short activities as it is now. Of groups that share their time, each has its part of
  -- the claims that exceed it.
  local function flow_for_short()
    for_short = for_short or new_flow()
    if counted_at ~= charges then
      counted_at = charges
      for _, group in ipairs(groups) do
        local free, taken = room.time(group)
        local exceed = 0
        if taken > free + trifle then
          exceed = ceil((group.charged - group.long) * (taken - free) / taken - trifle)
        end
        place(for_short, group, group.long + exceed - group.counted)
        group.counted = group.long + exceed
      end
    end
    return for_short
  end

  -- Whether one claim more fits, of an activity whose runs take so long (nil: it is long).
  function room.fits(group, short_ms)
    if not short_ms then
      return has_place(for_long, group)
    end
    return has_time(group, short_ms) or has_place(flow_for_short(), group)
  end

  -- Charges one claim more, which fits.
  function room.take(group, short_ms)
    charge(group, short_ms, 1)
  end

  -- How many claims more fit.
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
    charge_claims(waits_now[i], tonumber(waits_now[i + 1]))
  end
  return room
end

-- Open polls as "<fresh> <idle>", often the same.
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

-- The open polls of all pollers but one: fresh and idle ones by "<activity>|<queue>", and the most fresh
-- ones of one poller.
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

local function charge_polls(room, fresh, idle)
  for poll, open in pairs(fresh) do
    local charged = open + max(0, idle[poll] - 1)
    if charged > 0 then room.charge(poll, charged) end
  end
end

-- How many claims of each activity workers hold back for a rate limit.
local function held_back_claims()
  local held, aside = {}, redis.call('HGETALL', key('aside'))
  for i = 1, #aside, 2 do
    local activity = match(aside[i], '^(.*)|held_back$')
    if activity then held[activity] = tonumber(aside[i + 1]) end
  end
  return held
end
