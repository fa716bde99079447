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
--   look_ahead_ms / most at least, so that no more than that many wait a slot.
--
-- Short claims count by count for the part of look_ahead_ms that they take, rounded down: milliseconds
-- of work keep no long activity out.
local forgotten_ms = 3600000 -- an activity without a run for so long is not known any more

-- look_ahead: claims per slot. now: the store's clock, Unix ms.
local function measure_room(look_ahead, look_ahead_ms, most, now)
  local room = {}
  local classes, class_called, serving = {}, {}, {}
  local groups, group_called = {}, {}

  local sums = redis.call('HGETALL', key('classes'))
  for i = 1, #sums, 2 do
    local kind, name = string.match(sums[i], '^(.)|(.*)$')
    local class = class_called[name]
    if not class then
      class = {name = name, S = 0, E = 0, U = 0, N = 0, long = 0, flow = {}}
      classes[#classes + 1], class_called[name] = class, class
    end
    class[kind] = tonumber(sums[i + 1])
  end
  for index, class in ipairs(classes) do
    -- A trifle less, or what binary fractions add would round 11 up to 12.
    class.spare = math.max(0, math.ceil(class.E * look_ahead - 0.000001) - class.U)
    for queue in string.gmatch(class.name, '[^\n]+') do
      serving[queue] = serving[queue] or {name = ''}
      serving[queue][#serving[queue] + 1] = class
      serving[queue].name = serving[queue].name .. index .. ' '
    end
  end

  -- The queues that the same classes serve; nil: no worker serves the queue.
  function room.group_of(queue)
    local served_by = serving[queue]
    if not served_by then
      return nil
    end
    local group = group_called[served_by.name]
    if not group then
      group = {classes = served_by, slots = 0, offered = 0, used = 0, workers = 0, charged = 0,
        long = 0, short_ms = 0, part = 0}
      for _, class in ipairs(served_by) do
        group.slots, group.offered = group.slots + class.S, group.offered + class.E
        group.used, group.workers = group.used + class.U, group.workers + class.N
      end
      groups[#groups + 1], group_called[served_by.name] = group, group
    end
    return group
  end

  local longest = {}
  -- How long a run of the activity takes at most, in ms; nil: it is long, or not known.
  function room.short_ms(activity)
    if longest[activity] == nil then
      local known = look_ahead_ms > 0 and redis.call('HGET', key('lasted'), activity)
      local ms, at = string.match(known or '', '^(%d+) (%d+)')
      longest[activity] = false
      if ms and tonumber(ms) <= look_ahead_ms and now - at < forgotten_ms then
        local first = redis.call('ZRANGE', key('begun', activity), 0, 0, 'WITHSCORES')
        if not first[2] or now - first[2] <= look_ahead_ms then
          longest[activity] = tonumber(ms)
        end
      end
    end
    return longest[activity] or nil
  end

  -- Calls visit for each class that can take a claim more of the group, if claims of other groups are
  -- moved from class to class; until it answers true. move(class): moves them, and takes the room.
  local function search(group, visit)
    local reached, came_from, came_by, next_one = {group}, {}, {}, 1
    local seen = {[group] = true}
    local function move_to(class)
      class.spare = class.spare - 1
      while true do
        local to = came_from[class]
        class.flow[to] = (class.flow[to] or 0) + 1
        if to == group then
          return
        end
        class = came_by[to]
        class.flow[to] = class.flow[to] - 1
      end
    end
    while reached[next_one] do
      local here = reached[next_one]
      next_one = next_one + 1
      for _, class in ipairs(here.classes) do
        if not came_from[class] then
          came_from[class] = here
          if class.spare > 0 and visit(class, move_to) then
            return true
          end
          for other, claims in pairs(class.flow) do
            if claims > 0 and not seen[other] then
              seen[other], came_by[other] = true, class
              reached[#reached + 1] = other
            end
          end
        end
      end
    end
    return false, reached
  end

  local function take_it(class, move_to)
    move_to(class)
    return true
  end

  -- A claim more for the group, in a class with room for it; false: there is none.
  local function place_one(group)
    if group.full then
      return false
    end
    local placed, reached = search(group, take_it)
    if not placed then
      -- Room never comes back within a grant: none of these has any more.
      for _, each in ipairs(reached) do each.full = true end
    end
    return placed
  end

  local function place(group, claims)
    for _, class in ipairs(group.classes) do
      local fit = math.min(class.spare, claims)
      if fit > 0 then
        class.spare, class.flow[group] = class.spare - fit, (class.flow[group] or 0) + fit
        claims = claims - fit
      end
    end
    while claims > 0 and place_one(group) do
      claims = claims - 1
    end
    return claims == 0
  end

  local function least_ms(short_ms)
    return math.max(short_ms, look_ahead_ms / most)
  end

  -- Notes that short claims take time, and what part of it counts as claims.
  local function take_time(group, short_ms, claims)
    group.short_ms = group.short_ms + claims * least_ms(short_ms)
    local part = group.part + claims * short_ms / look_ahead_ms
    place(group, math.floor(part) - math.floor(group.part))
    group.part = part
  end

  -- Charges claims that are there already, whether they fit or not.
  function room.charge(activity, queue, claims)
    local group = room.group_of(queue)
    if not group or claims <= 0 then
      return -- no worker serves it: its claims take the room of none
    end
    group.charged = group.charged + claims
    local short_ms = room.short_ms(activity)
    if short_ms then
      take_time(group, short_ms, claims)
    else
      group.long = group.long + claims
      place(group, claims)
    end
  end

  -- Room by time around a group, and what short claims take of it; in ms.
  function room.time(group)
    local free, taken = 0, 0
    for _, class in ipairs(group.classes) do
      free = free + math.max(0, class.E - class.long)
    end
    if not group.near then
      local mine = {}
      group.near = {}
      for _, class in ipairs(group.classes) do mine[class] = true end
      for _, other in ipairs(groups) do
        for _, class in ipairs(other.classes) do
          if mine[class] then
            group.near[#group.near + 1] = other
            break
          end
        end
      end
    end
    for _, other in ipairs(group.near) do
      free, taken = free - other.long, taken + other.short_ms
    end
    return math.max(0, free) * look_ahead_ms, taken
  end

  -- Whether one claim more of the activity fits; it is charged then.
  function room.take(activity, group)
    local short_ms = room.short_ms(activity)
    if short_ms then
      local free, taken = room.time(group)
      if taken + least_ms(short_ms) <= free then
        take_time(group, short_ms, 1)
        return true
      end
    end
    if not place_one(group) then
      return false
    end
    if short_ms then
      group.short_ms = group.short_ms + least_ms(short_ms)
    else
      group.long = group.long + 1
    end
    return true
  end

  -- How many claims more of the activity fit at most.
  function room.left(activity, group)
    local left, short_ms = 0, room.short_ms(activity)
    search(group, function(class) left = left + class.spare end)
    if short_ms then
      local free, taken = room.time(group)
      left = left + math.max(0, math.floor((free - taken) / least_ms(short_ms)))
    end
    return left
  end

  local runs = redis.call('HGETALL', key('running'))
  for i = 1, #runs, 2 do
    local activity, name = string.match(runs[i], '^([^|]*)|(.*)$')
    local class = class_called[name]
    if class and not room.short_ms(activity) then
      class.long = class.long + tonumber(runs[i + 1])
    end
  end
  local waits_now = redis.call('HGETALL', key('waiting'))
  for i = 1, #waits_now, 2 do
    local activity, queue = string.match(waits_now[i], '^([^|]*)|(.*)$')
    room.charge(activity, queue, tonumber(waits_now[i + 1]))
  end
  return room
end

-- The open polls of all pollers: fresh and idle ones by "<activity>|<queue>".
local function open_polls(pollers)
  local fresh, idle = {}, {}
  for _, poller in ipairs(pollers) do
    local polls = redis.call('HGETALL', key('polls', poller))
    for i = 1, #polls, 2 do
      local poll, its_fresh, its_idle = polls[i], string.match(polls[i + 1], '^(%d+) (%d+)$')
      fresh[poll] = (fresh[poll] or 0) + its_fresh
      idle[poll] = (idle[poll] or 0) + its_idle
    end
  end
  return fresh, idle
end

local function charge_polls(room, fresh, idle)
  for poll, open in pairs(fresh) do
    local activity, queue = string.match(poll, '^([^|]*)|(.*)$')
    room.charge(activity, queue, open + math.max(0, idle[poll] - 1))
  end
end

-- How many claims of the activity workers hold back for a rate limit.
local function held_back_of(activity)
  return tonumber(redis.call('HGET', key('aside'), activity .. '|held_back') or 0)
end
