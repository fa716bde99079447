-- take_heartbeats: take the tokens that are due for a heartbeat and may have one; fail claims that may
-- have none any more.
-- KEYS[1] root
-- ARGV    limit, not_started (outcome of a job that never started), silent (outcome of a job with manual
--         heartbeats that fell silent), ratio (heartbeat intervals in HeartbeatSeconds)
-- Returns looked (how many were due), and two lists:
--         given_up: claim_id, attempt, activity of each claim that was failed; its job may still exist,
--           and is to be revoked
--         due: claim_id, token, interval_ms, missed (Unix ms: since when it has been due), activity of
--           each token to heartbeat
-- Clock   due; the workers' leases; patience; due again one interval from now, so that two beat processes
--         do not double the calls; notes that a heartbeat pass begins
--
-- A token may have a heartbeat while its job waits within its patience, while the worker that runs it
-- has a lease (and, with heartbeat="manual", the job has called lately), and while its report waits.
-- Two kinds of jobs fail here: those that waited past their patience, and those with heartbeat="manual"
-- that have been silent for the usual HeartbeatSeconds, which is ratio intervals. If the bridge only
-- sent no more heartbeats, Step Functions would close their tokens without telling the bridge, and
-- their slots would stay taken.
run_at_maxmemory()
local other = other_schema()
if other then
  return other
end
local limit, not_started, silent, ratio = unpack(ARGV)
local now = now_ms()
redis.call('HSET', key('passes'), 'heartbeat', now)
local amnesty_ends = tonumber(redis.call('HGET', key('passes'), 'amnesty') or 0)
local given_up, taken = {}, {}

local function take(id, due_at)
  local state, every, ends, worker, alive, missed, activity, attempt, queue = claim_fields(id,
    'state', 'every', 'until', 'worker', 'alive', 'missed', 'activity', 'attempt', 'queue')
  if not state or state == 'closed' then
    redis.call('ZREM', key('heartbeats'), id)
    return
  end
  redis.call('ZADD', key('heartbeats'), now + every, id)

  local failed_as, is_due
  if state == 'settled' then
    is_due = true
  elseif state == 'claimed' or state == 'queued' then
    is_due = now <= tonumber(ends)
    failed_as = not is_due and not_started
  elseif state == 'running' then
    local leased = has_lease(worker, now)
    is_due = leased and (not alive or now <= tonumber(alive))
    if not leased then
      -- It may renew its lease after an outage of the store: look again before the interval is over.
      redis.call('ZADD', key('heartbeats'), now + math.floor(every / 4), id)
    elseif alive and now > alive + ratio * every and now >= amnesty_ends then
      failed_as = silent
    end
  end
  if failed_as then
    put_into_outbox(id, activity, queue, state, worker, failed_as)
    if worker then mark_unwanted(id, worker) end
    append(given_up, id, attempt, activity)
  end
  if missed then
    redis.call('HDEL', key('claim', id), 'missed')
  end
  if is_due then
    -- tonumber: Redis answers a whole number, also where a score has a fraction.
    append(taken, id, token_of(id), tonumber(every), tonumber(missed or due_at), activity)
  end
end

local due = redis.call('ZRANGEBYSCORE', key('heartbeats'), '-inf', now, 'WITHSCORES', 'LIMIT', 0, limit)
for i = 1, #due, 2 do
  take(due[i], due[i + 1])
end
return {#due / 2, given_up, taken}
