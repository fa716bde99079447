-- Put before grant_polls and read_room, after _classes.lua: which claims find room in which class.
--
-- A maximum flow from groups of queues to classes of workers. A claim of a group may wait at any class
-- that serves the group. Where a class is full, claims of another group are moved from it to a class
-- with spare room, along an augmenting path: so a claim is refused only if all claims together do not
-- fit.
--
-- A flow has, by class: spare (for how many claims more there is room) and sent (claims by group); by
-- group: full (whether no more fit) and left (see room_left).
local function new_flow(classes)
  local flow = {spare = {}, sent = {}, full = {}, left = {}}
  for _, class in ipairs(classes) do
    flow.spare[class], flow.sent[class] = class.room, {}
  end
  return flow
end

-- Finds room for up to this number of further claims of a group, along one path. Returns for how many,
-- and the path: class, group, class, group and so on, from the class with spare room to the group.
-- Without room: 0, and all groups that were reached.
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

-- Moves claims of each group on the path to the class before it; a negative number moves them back.
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

-- Within one script room is only taken, so a group without room has none until its end.
local function mark_full(flow, reached)
  for _, each in ipairs(reached) do flow.full[each] = true end
end

-- Puts up to this number of claims of a group where there is room; returns for how many there was.
local function place_claims(flow, group, claims)
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

local function has_spare(flow, group)
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

-- For how many further claims of a group there is room. The first answer for a group is kept:
-- grant_polls asks for it before it charges any poll.
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
    sends[#sends + 1], total = {path = path, fit = fit}, total + fit
    fit, path = augment(flow, group, math.huge)
  end
  for i = #sends, 1, -1 do
    send(flow, sends[i].path, -sends[i].fit)
  end
  for class, spare in pairs(own) do
    flow.spare[class] = spare
  end
  flow.left[group] = total
  return total
end
