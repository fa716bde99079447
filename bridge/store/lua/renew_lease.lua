-- renew_lease: extend a worker's lease; say what it can take, and what it has.
-- KEYS[1] root
-- ARGV    worker, lease_ms, announcement (JSON: slots, queues, ordinary, fetches), held (JSON: jobs,
--         active, held_back), number (of this renewal)
-- Returns 1 renewed | 0 there was none, or it had ended; how many are forgotten; then claim_id,
--         attempt of each forgotten: marked as running here, and not among its jobs any more, now
--         and at the last renewal; then claim_id of each that is active here and nobody wants
-- Clock   end of the lease
--
-- Forgotten: the job ended, and its ending reached nobody; only its worker can know. Unwanted: its
-- claim was closed, or runs elsewhere, or is unknown: a failover of Redis has lost it, with its token.
run_at_maxmemory()
local other = other_schema()
if other then
  return other
end
local worker, now = ARGV[1], now_ms()
local renewed, time = has_lease(worker, now), redis_ms()
local last, offset, slack = noted_clock()
if last and not in_doubt(time, last, slack) then
  note_clock(time, offset, slack)
end
local held, has, ran = cjson.decode(ARGV[4]), {}, {}
local before = redis.call('HGET', key('held'), worker)
before = before and cjson.decode(before) or {}
redis.call('ZADD', key('workers'), now + ARGV[2], worker)
redis.call('HSET', key('fleet'), worker, ARGV[3])
redis.call('HSET', key('held'), worker, ARGV[4])
for _, id in ipairs(held.jobs) do
  has[id] = true
end
for _, id in ipairs(before.active or {}) do
  ran[id] = true
end
hold_back(worker, held.held_back, before.held_back)

local answer = {renewed and 1 or 0, 0}
for _, id in ipairs(redis.call('SMEMBERS', key('runs', worker))) do
  if has[id] then
    redis.call('HDEL', key('claim', id), 'missing')
  elseif redis.call('HSETNX', key('claim', id), 'missing', ARGV[5]) == 0
      and tonumber(claim_fields(id, 'missing')[1]) < tonumber(ARGV[5]) then
    answer[2] = answer[2] + 1
    answer[#answer + 1] = id
    answer[#answer + 1] = claim_fields(id, 'attempt')[1]
  end
end
local unwanted = {}
for _, id in ipairs(held.active) do
  local claim = claim_fields(id, 'state', 'worker')
  if not claim[1] or claim[1] == 'closed' or claim[1] == 'settled'
      or (claim[1] == 'running' and claim[2] ~= worker) then
    if claim[1] ~= 'settled' then
      answer[#answer + 1] = id
    end
    -- Between its outcome and its acknowledgement a job is still active: it runs on if it is so at two
    -- renewals, or if its claim was closed while it ran.
    if ran[id] or redis.call('SISMEMBER', key('unwanted', worker), id) == 1 then
      unwanted[#unwanted + 1] = id
    end
  end
end
redis.call('DEL', key('unwanted', worker))
for _, id in ipairs(unwanted) do
  redis.call('SADD', key('unwanted', worker), id)
end
local announced = cjson.decode(ARGV[3])
local class = announced.slots > 0 and table.concat(announced.queues, '\n') or ''
account(worker, announced.slots, announced.ordinary, class)
return answer
