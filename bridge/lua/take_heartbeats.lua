-- take_heartbeats: take tokens that are due for a heartbeat and have somebody to speak for.
-- KEYS[1] root
-- ARGV    limit
-- Returns looked (how many were due), then claim_id, token, interval_ms, missed (Unix ms: since when
--         it has been due) of each to beat
-- Clock   due; the workers' leases; patience; due again one interval from now, so that two beats
--         never double the calls; notes that a pass of heartbeats begins
local now = now_ms()
redis.call('HSET', key('passes'), 'heartbeat', now)
local due = redis.call('ZRANGEBYSCORE', key('heartbeats'), '-inf', now, 'WITHSCORES',
  'LIMIT', 0, ARGV[1])
local taken = {#due / 2}
for i = 1, #due, 2 do
  local id = due[i]
  local claim = claim_fields(id, 'state', 'every', 'until', 'worker', 'alive', 'missed')
  local state, every, worker, alive = claim[1], claim[2], claim[4], claim[5]
  if not state or state == 'closed' then
    redis.call('ZREM', key('heartbeats'), id)
  else
    redis.call('ZADD', key('heartbeats'), now + every, id)
    local speaks = state == 'settled'
    if state == 'claimed' or state == 'queued' then
      speaks = now <= tonumber(claim[3])
    elseif state == 'running' then
      speaks = has_lease(worker, now) and (not alive or now <= tonumber(alive))
    end
    if claim[6] then
      redis.call('HDEL', key('claim', id), 'missed')
    end
    if speaks then
      redis.call('HINCRBY', key('claim', id), 'beats', 1)
      taken[#taken + 1] = id
      taken[#taken + 1] = redis.call('GET', key('token', id))
      taken[#taken + 1] = every
      taken[#taken + 1] = claim[6] or due[i + 1]
    end
  end
end
return taken
