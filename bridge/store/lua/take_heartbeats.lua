-- take_heartbeats: take tokens that are due for a heartbeat and have somebody to speak for; give up
-- those for whom nobody will.
-- KEYS[1] root
-- ARGV    limit, outcome of a job that never started, outcome of one that fell silent
-- Returns looked (how many were due), given_up, then claim_id, attempt, activity of each given up
--         whose job may be on: it is to be revoked; then claim_id, token, interval_ms, missed
--         (Unix ms: since when it has been due), activity of each to beat
-- Clock   due; the workers' leases; patience; due again one interval from now, so that two beats
--         never double the calls; notes that a pass of heartbeats begins
--
-- Given up: a job that waited past its patience, or whose heartbeat="manual" has been silent for as
-- long as a HeartbeatSeconds of three intervals. Without a call to Step Functions nobody would hear
-- that its token is closed, and its slot would stay taken.
run_at_maxmemory()
local other = other_schema()
if other then
  return other
end
local now = now_ms()
redis.call('HSET', key('passes'), 'heartbeat', now)
local due = redis.call('ZRANGEBYSCORE', key('heartbeats'), '-inf', now, 'WITHSCORES',
  'LIMIT', 0, ARGV[1])
local given_up, taken = {}, {}
local amnesty = tonumber(redis.call('HGET', key('passes'), 'amnesty') or 0)

local function give_up(id, claim, outcome)
  put_into_outbox(id, claim[7], claim[9], claim[1], claim[4], outcome)
  if claim[4] then runs_on(id, claim[4]) end
  given_up[#given_up + 1] = id
  given_up[#given_up + 1] = claim[8]
  given_up[#given_up + 1] = claim[7]
end

for i = 1, #due, 2 do
  local id = due[i]
  local claim = claim_fields(id, 'state', 'every', 'until', 'worker', 'alive', 'missed', 'activity',
    'attempt', 'queue')
  local state, every, worker, alive = claim[1], claim[2], claim[4], tonumber(claim[5])
  if not state or state == 'closed' then
    redis.call('ZREM', key('heartbeats'), id)
  else
    redis.call('ZADD', key('heartbeats'), now + every, id)
    local speaks = state == 'settled'
    if state == 'claimed' or state == 'queued' then
      speaks = now <= tonumber(claim[3])
      if not speaks then give_up(id, claim, ARGV[2]) end
    elseif state == 'running' then
      local leased = has_lease(worker, now)
      speaks = leased and (not alive or now <= alive)
      if not leased then
        -- It may renew yet, after an outage of the store: look again before the interval is over.
        redis.call('ZADD', key('heartbeats'), now + math.floor(every / 4), id)
      elseif alive and now > alive + 3 * every and now >= amnesty then
        give_up(id, claim, ARGV[3])
      end
    end
    if claim[6] then
      redis.call('HDEL', key('claim', id), 'missed')
    end
    if speaks then
      taken[#taken + 1] = id
      taken[#taken + 1] = token_of(id)
      -- As numbers: Redis answers a whole one, also where a score has a fraction.
      taken[#taken + 1] = tonumber(every)
      taken[#taken + 1] = tonumber(claim[6] or due[i + 1])
      taken[#taken + 1] = claim[7]
    end
  end
end
local answer = {#due / 2, #given_up / 3}
for _, part in ipairs(given_up) do answer[#answer + 1] = part end
for _, part in ipairs(taken) do answer[#answer + 1] = part end
return answer
