-- renew_lease: extend a worker's lease; note what it announces, and which claims it holds.
-- KEYS[1] root
-- ARGV    worker, lease_ms, announcement (JSON: slots, queues, ordinary, fetches), held (JSON: jobs,
--         active, held_back), number (of this renewal)
-- Returns renewed (1 | 0: there was no lease, or it had ended), and two lists:
--         forgotten: claim_id, attempt of each claim that is marked as running on this worker and was
--           not among its jobs at this renewal nor at the last one: its job has ended, and its outcome
--           did not reach the store
--         unwanted: claim_id of each active job whose claim is closed, runs elsewhere, or is unknown
--           because a failover of Redis has lost it with its token
-- Clock   end of the lease
run_at_maxmemory()
local other = other_schema()
if other then
  return other
end
local worker, lease, number = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[5])
local announcement, held = cjson.decode(ARGV[3]), cjson.decode(ARGV[4])
local now, time = now_ms(), redis_ms()
local renewed = has_lease(worker, now)
local last, offset, slack = noted_clock()
if last and not in_doubt(time, last, slack) then
  note_clock(time, offset, slack)
end
local before = redis.call('HGET', key('held'), worker)
before = before and cjson.decode(before) or {}
redis.call('ZADD', key('workers'), now + lease, worker)
redis.call('HSET', key('fleet'), worker, ARGV[3])
redis.call('HSET', key('held'), worker, ARGV[4])
hold_back(worker, held.held_back, before.held_back)

local function set_of(list)
  local set = {}
  for _, each in ipairs(list or {}) do set[each] = true end
  return set
end

local forgotten, is_job = {}, set_of(held.jobs)
for _, id in ipairs(redis.call('SMEMBERS', key('runs', worker))) do
  if is_job[id] then
    redis.call('HDEL', key('claim', id), 'missing')
  elseif redis.call('HSETNX', key('claim', id), 'missing', number) == 0 then
    local missing, attempt = claim_fields(id, 'missing', 'attempt')
    if tonumber(missing) < number then -- not this renewal, sent again
      append(forgotten, id, attempt)
    end
  end
end

local unwanted, occupying, was_active = {}, {}, set_of(before.active)
for _, id in ipairs(held.active) do
  local state, holder = claim_fields(id, 'state', 'worker')
  local ended = not state or state == 'closed' or (state == 'running' and holder ~= worker)
  if ended then
    append(unwanted, id)
  end
  -- A settled job stays active until it is acknowledged. It counts as one that runs on if it is active at
  -- two renewals, or if its claim was closed while it ran.
  if (ended or state == 'settled')
      and (was_active[id] or redis.call('SISMEMBER', key('unwanted', worker), id) == 1) then
    append(occupying, id)
  end
end
redis.call('DEL', key('unwanted', worker))
for _, id in ipairs(occupying) do
  redis.call('SADD', key('unwanted', worker), id)
end
local class = announcement.slots > 0 and table.concat(announcement.queues, '\n') or ''
announce_worker(worker, announcement.slots, announcement.ordinary, class)
return {renewed and 1 or 0, forgotten, unwanted}
