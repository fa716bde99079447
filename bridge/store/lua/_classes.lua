-- Put before grant_polls and read_room, after _claims.lua: the classes of workers, and the groups of
-- queues that the same classes serve.
local ARGV, redis, tonumber, unpack = ARGV, redis, tonumber, unpack
local find, sub, match = string.find, string.sub, string.match
local ceil, floor, max, min = math.ceil, math.floor, math.max, math.min
local trifle = 0.000001 -- above the error of binary fractions, by which 11 would be rounded up to 12

local sum_called = {S = 'slots', E = 'offered', U = 'used', N = 'workers'}

-- All classes, as a list and by their names. Each has its sums; its room by count (`room`); and `long`,
-- the claims of long activities that its workers run, which read_long_runs() fills in.
local function read_classes(look_ahead)
  local classes, class_called = {}, {}
  local sums = redis.call('HGETALL', key('classes'))
  for i = 1, #sums, 2 do
    local kind, name = sub(sums[i], 1, 1), sub(sums[i], 3)
    local class = class_called[name]
    if not class then
      class = {name = name, slots = 0, offered = 0, used = 0, workers = 0, long = 0}
      classes[#classes + 1], class_called[name] = class, class
    end
    class[sum_called[kind]] = tonumber(sums[i + 1])
  end
  for _, class in ipairs(classes) do
    class.room = max(0, ceil(class.offered * look_ahead - trifle) - class.used)
  end
  return classes, class_called
end

-- By queue, the list of the classes that serve it. Queues with the same classes have the same `name`.
local function read_serving(classes)
  local serving = {}
  for index, class in ipairs(classes) do
    for queue in string.gmatch(class.name, '[^\n]+') do
      local served_by = serving[queue]
      if served_by then
        served_by[#served_by + 1], served_by.name = class, served_by.name .. ' ' .. index
      else
        serving[queue] = {class, name = '' .. index}
      end
    end
  end
  return serving
end

local function new_group(served_by)
  local group = {classes = served_by, slots = 0, offered = 0, used = 0, workers = 0, charged = 0,
    counted = 0, long = 0, short_ms = 0, part_ms = 0}
  for _, class in ipairs(served_by) do
    group.slots, group.offered = group.slots + class.slots, group.offered + class.offered
    group.used, group.workers = group.used + class.used, group.workers + class.workers
  end
  return group
end

-- The list of groups, which grows with each group that is asked for, and a function that returns the
-- group of a queue, or nil for a queue that no worker serves.
local function new_groups(classes)
  local serving, groups, group_called, group_of_queue = read_serving(classes), {}, {}, {}
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
      group = new_group(served_by)
      groups[#groups + 1], group_called[served_by.name] = group, group
    end
    group_of_queue[queue] = group
    return group
  end
  return groups, group_of
end
