-- read_status: what is in flight, and who works on it. Reads only.
-- KEYS[1] root
-- ARGV    activity, … (whose oldest claim is wanted; others are found in the tally)
-- Returns JSON: {now, tally: {"activity|state": n}, ended: {"activity|succeeded": n}, oldest: {activity: age_ms},
--         waiting: {"activity|queue": n}, countdown, held_back, fresh, idle: {activity: n} (the last two
--         are polls of the live pollers), longest_ms: {activity: ms of the longest of its last runs},
--         workers: {worker: {slots, queues, ordinary, fetches, unwanted, offered, used, lease_ms,
--         running}}, see _ledger.lua,
--         outbox_ms: age of the oldest outcome among the first hundred,
--         pollers: {poller: {"activity|queue": "fresh idle"}}, lost: {activity: n},
--         passes: {pass: age_ms}}
-- Clock   ages; leases
local other = other_schema(true)
if other then
  return other
end
-- Not now_ms: where no process watches the clock, that stands still.
local _, offset = noted_clock()
local now = redis_ms() + (offset or 0)
local status = {tally = {}, oldest = {}, workers = {}, pollers = {}, lost = {}, passes = {}, ended = {},
  waiting = {}, countdown = {}, held_back = {}, fresh = {}, idle = {}, longest_ms = {}}
local activities = {}
for _, activity in ipairs(ARGV) do
  activities[activity] = true
end
status.outbox_ms = 0
for _, id in ipairs(redis.call('ZRANGE', key('outbox'), 0, 99)) do
  local settled = tonumber(claim_fields(id, 'settled')[1] or now)
  status.outbox_ms = math.max(status.outbox_ms, now - settled)
end
local ended = redis.call('HGETALL', key('ended'))
for i = 1, #ended, 2 do
  status.ended[ended[i]] = tonumber(ended[i + 1])
end
local counts = redis.call('HGETALL', key('tally'))
for i = 1, #counts, 2 do
  status.tally[counts[i]] = tonumber(counts[i + 1])
  activities[string.match(counts[i], '^(.*)|')] = true
end
for activity in pairs(activities) do
  local first = redis.call('ZRANGE', key('claims', activity), 0, 0, 'WITHSCORES')
  if first[2] then
    status.oldest[activity] = now - first[2]
  end
end
local workers = redis.call('ZRANGE', key('workers'), 0, -1, 'WITHSCORES')
for i = 1, #workers, 2 do
  local worker = workers[i]
  local info = cjson.decode(redis.call('HGET', key('fleet'), worker))
  info.lease_ms = tonumber(workers[i + 1]) - now
  info.running = redis.call('SCARD', key('runs', worker))
  info.unwanted = redis.call('SCARD', key('unwanted', worker))
  local _, _, offered, used = offer_of(worker)
  info.offered, info.used = tonumber(offered or 0), tonumber(used or 0)
  status.workers[worker] = info
  if info.lease_ms < 0 then
    for _, id in ipairs(redis.call('SMEMBERS', key('runs', worker))) do
      local activity = claim_fields(id, 'activity')[1]
      status.lost[activity] = (status.lost[activity] or 0) + 1
    end
  end
end
for _, pass in ipairs({'heartbeat', 'recovery'}) do
  local last = redis.call('HGET', key('passes'), pass)
  if last then
    status.passes[pass] = now - last
  end
end
for _, poller in ipairs(redis.call('ZRANGEBYSCORE', key('pollers'), now, '+inf')) do
  local polls = redis.call('HGETALL', key('polls', poller))
  status.pollers[poller] = {}
  for i = 1, #polls, 2 do
    local activity = string.match(polls[i], '^[^|]*')
    local fresh, idle = string.match(polls[i + 1], '^(%d+) (%d+)$')
    status.pollers[poller][polls[i]] = polls[i + 1]
    status.fresh[activity] = (status.fresh[activity] or 0) + fresh
    status.idle[activity] = (status.idle[activity] or 0) + idle
  end
end
local waiting_now = redis.call('HGETALL', key('waiting'))
for i = 1, #waiting_now, 2 do
  status.waiting[waiting_now[i]] = tonumber(waiting_now[i + 1])
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
return cjson.encode(status)
