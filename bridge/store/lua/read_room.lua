-- read_room: may a poll be opened on this activity, and if not, why? Reads only.
-- KEYS[1] root
-- ARGV    look_ahead, look_ahead_ms, most (see grant_polls), activity, queue, place
-- Returns JSON: {refusal, workers, slots, offered, used, waiting_room, charged, time_room_ms, time_used_ms,
--         short, longest_ms (missing: nothing ran)}, over the live workers that serve the queue, without
--         this poll. waiting_room is the room by count
-- Clock   the hold of polls; leases and countdowns as the last grant has left them
local other = other_schema(true)
if other then
  return other
end
local look_ahead, look_ahead_ms, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local activity, queue, place = ARGV[4], ARGV[5], ARGV[6]
local now = unchecked_now_ms()
local room = measure_room(look_ahead, look_ahead_ms, most, now)
local fresh, idle = open_polls(redis.call('ZRANGEBYSCORE', key('pollers'), now, '+inf'))
charge_polls(room, fresh, idle)
local group = room.group_of(queue)
local found = {refusal = '', workers = 0, slots = 0, offered = 0, used = 0, waiting_room = 0,
  charged = 0, time_room_ms = 0, time_used_ms = 0, short = room.shorts[activity] ~= nil}
local lasted = redis.call('HGET', key('lasted'), activity)
found.longest_ms = lasted and longest_of(lasted, now)
if group then
  for _, class in ipairs(group.classes) do
    found.waiting_room = found.waiting_room + class.room
  end
  found.workers, found.slots, found.offered = group.workers, group.slots, group.offered
  found.used = group.used
  found.time_room_ms, found.time_used_ms = room.time(group)
  for _, near in ipairs(group.near) do found.charged = found.charged + near.charged end
end
if is_throttled(place) then
  found.refusal = 'throttled'
elseif not group then
  found.refusal = 'no worker'
elseif (read_held_back()[activity] or 0) >= group.workers then
  found.refusal = 'held back'
elseif (idle[activity .. '|' .. queue] or 0) > 0 then
  found.refusal = 'covered'
elseif not room.fits(group, room.shorts[activity]) then
  found.refusal = 'no room'
end
return cjson.encode(found)
