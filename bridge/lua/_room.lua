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
-- For long activities, short claims count by count for the part of look_ahead_ms that they take, rounded
-- down: milliseconds of work keep no long activity out. For short ones, those that exceed the room by
-- time count by count, each whole: behind long claims no more of them wait than long ones would.
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
      class = {name = name, S = 0, E = 0, U = 0, N = 0, long = 0}
      classes[#classes + 1], class_called[name] = class, class
    end
    class[kind] = tonumber(sums[i + 1])
  end
  for index, class in ipairs(classes) do
    -- A trifle less, or what binary fractions add would round 11 up to 12.
    class.room = math.max(0, math.ceil(class.E * look_ahead - 0.000001) - class.U)
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
        counted = 0, long = 0, short_ms = 0, part_ms = 0}
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
            local path, fit, at = {class, here}, math.min(claims, flow.spare[class]), here
            while at ~= group do
              local by = came_by[at]
              fit, at = math.min(fit, flow.sent[by][at]), came_from[by]
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
    local left = claims
    for _, class in ipairs(group.classes) do
      local spare = flow.spare[class]
      if left > 0 and spare > 0 then
        local fit, sent = math.min(spare, left), flow.sent[class]
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
    local total, own, sends = 0, {}, {}
    for _, class in ipairs(group.classes) do
      local spare = flow.spare[class]
      own[class], total, flow.spare[class] = spare, total + spare, 0
    end
    local fit, path = augment(flow, group, math.huge)
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
    return math.max(short_ms, look_ahead_ms / most)
  end

  -- One for long activities, and one for short ones that find no room by time: see above.
  local for_long, for_short, is_old = new_flow(), nil, true

  local function charge(group, short_ms, claims)
    group.charged, is_old = group.charged + claims, true
    if not short_ms then
      group.long = group.long + claims
      place(for_long, group, claims)
      return
    end
    local before = math.floor(group.part_ms / look_ahead_ms)
    group.short_ms = group.short_ms + claims * least_ms(short_ms)
    group.part_ms = group.part_ms + claims * short_ms
    place(for_long, group, math.floor(group.part_ms / look_ahead_ms) - before)
  end

  -- Charges claims that are there already, whether they fit or not.
  function room.charge(activity, queue, claims)
    local group = room.group_of(queue)
    if group and claims > 0 then -- without a worker they take the room of none
      charge(group, room.short_ms(activity), claims)
    end
  end

  -- Room by time around a group, and what short claims take of it; in ms.
  function room.time(group)
    local free, taken = 0, 0
    for _, class in ipairs(group.classes) do
      free = free + math.max(0, class.E - class.long)
    end
    if group.groups ~= #groups then
      local mine = {}
      group.groups, group.near = #groups, {}
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

  local function has_time(group, short_ms)
    local free, taken = room.time(group)
    return taken + least_ms(short_ms) <= free
  end

  -- The flow for short activities as it is now. Of groups that share their time, each has its part of
  -- the claims that exceed it.
  local function flow_for_short()
    for_short = for_short or new_flow()
    if is_old then
      is_old = false
      for _, group in ipairs(groups) do
        local free, taken = room.time(group)
        local exceed = 0
        if taken > free then
          exceed = math.ceil((group.charged - group.long) * (taken - free) / taken - 0.000001)
        end
        place(for_short, group, group.long + exceed - group.counted)
        group.counted = group.long + exceed
      end
    end
    return for_short
  end

  -- Whether one claim more of the activity fits.
  function room.fits(activity, group)
    local short_ms = room.short_ms(activity)
    if not short_ms then
      return has_place(for_long, group)
    end
    return has_time(group, short_ms) or has_place(flow_for_short(), group)
  end

  -- Charges one claim more, which fits.
  function room.take(activity, group)
    charge(group, room.short_ms(activity), 1)
  end

  -- How many claims more of the activity fit.
  function room.left(activity, group)
    local short_ms = room.short_ms(activity)
    if not short_ms then
      return room_left(for_long, group)
    end
    local free, taken = room.time(group)
    return room_left(flow_for_short(), group)
      + math.max(0, math.floor((free - taken) / least_ms(short_ms)))
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

-- The open polls of all pollers: fresh and idle ones by "<activity>|<queue>", and the most fresh ones of
-- one poller.
local function open_polls(pollers)
  local fresh, idle, most = {}, {}, {}
  for _, poller in ipairs(pollers) do
    local polls = redis.call('HGETALL', key('polls', poller))
    for i = 1, #polls, 2 do
      local poll, its_fresh, its_idle = polls[i], string.match(polls[i + 1], '^(%d+) (%d+)$')
      fresh[poll] = (fresh[poll] or 0) + its_fresh
      idle[poll] = (idle[poll] or 0) + its_idle
      most[poll] = math.max(most[poll] or 0, its_fresh)
    end
  end
  return fresh, idle, most
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
