-- read_status: what is in flight, and which workers and pollers are there? Reads only.
-- KEYS[1] root
-- ARGV    activity, … (whose oldest claim is asked for; others are found in the tally)
-- Returns JSON:
--         tally       {"<activity>|<state>": claims}
--         ended       {"<activity>|succeeded" or "<activity>|failed": outcomes}
--         oldest      {activity: age of its oldest claim, ms}
--         waiting     {"<activity>|<queue>": claims}
--         countdown, held_back, lost  {activity: claims}
--         longest_ms  {activity: longest of its last runs}
--         workers     {worker: {slots, queues, ordinary, fetches, unwanted, offered, used, lease_ms,
--                     running}}: see _ledger.lua
--         pollers     {live poller: {"<activity>|<queue>": "<fresh> <idle>"}}
--         passes      {pass: ms since the last one began}
--         outbox_ms   age of the oldest outcome among the first hundred
-- Clock   ages; leases
local other = other_schema(true)
if other then
  return other
end
local now = unchecked_now_ms()

local function numbers_in(name)
  local numbers, flat = {}, redis.call('HGETALL', key(name))
  for i = 1, #flat, 2 do
    numbers[flat[i]] = tonumber(flat[i + 1])
  end
  return numbers
end

local status = {tally = numbers_in('tally'), ended = numbers_in('ended'),
  waiting = numbers_in('waiting'), oldest = {}, countdown = {}, held_back = {}, lost = {},
  longest_ms = {}, workers = {}, pollers = {}, passes = {}, outbox_ms = 0}

for _, id in ipairs(redis.call('ZRANGE', key('outbox'), 0, 99)) do
  local settled = claim_fields(id, 'settled')
  status.outbox_ms = math.max(status.outbox_ms, now - (settled or now))
end

local activities = {}
for _, activity in ipairs(ARGV) do
  activities[activity] = true
end
for each in pairs(status.tally) do
  activities[string.match(each, '^(.*)|')] = true
end
for activity in pairs(activities) do
  local _, claimed = unpack(redis.call('ZRANGE', key('claims', activity), 0, 0, 'WITHSCORES'))
  if claimed then
    status.oldest[activity] = now - claimed
  end
end

local aside = redis.call('HGETALL', key('aside'))
for i = 1, #aside, 2 do
  local activity, why = string.match(aside[i], '^([^|]*)|(.*)$')
  status[why][activity] = tonumber(aside[i + 1])
end
local lasted = redis.call('HGETALL', key('lasted'))
for i = 1, #lasted, 2 do
  status.longest_ms[lasted[i]] = longest_of(lasted[i + 1], now)
end

local workers = redis.call('ZRANGE', key('workers'), 0, -1, 'WITHSCORES')
for i = 1, #workers, 2 do
  local worker, lease_ends = workers[i], workers[i + 1]
  local info = cjson.decode(redis.call('HGET', key('fleet'), worker))
  info.lease_ms = lease_ends - now
  info.running = redis.call('SCARD', key('runs', worker))
  info.unwanted = redis.call('SCARD', key('unwanted', worker))
  local _, _, offered, used = offer_of(worker)
  info.offered, info.used = tonumber(offered or 0), tonumber(used or 0)
  status.workers[worker] = info
  if info.lease_ms < 0 then
    for _, id in ipairs(redis.call('SMEMBERS', key('runs', worker))) do
      local activity = claim_fields(id, 'activity')
      status.lost[activity] = (status.lost[activity] or 0) + 1
    end
  end
end

for _, poller in ipairs(redis.call('ZRANGEBYSCORE', key('pollers'), now, '+inf')) do
  local polls, flat = {}, redis.call('HGETALL', key('polls', poller))
  for i = 1, #flat, 2 do
    polls[flat[i]] = flat[i + 1]
  end
  status.pollers[poller] = polls
end

for _, pass in ipairs({'heartbeat', 'recovery'}) do
  local last = redis.call('HGET', key('passes'), pass)
  if last then
    status.passes[pass] = now - last
  end
end
return cjson.encode(status)
