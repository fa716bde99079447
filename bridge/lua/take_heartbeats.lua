-- take_heartbeats: take tokens that are due for a heartbeat and have somebody to speak for.
-- KEYS[1] root
-- ARGV    limit
-- Returns looked (how many were due), then claim_id, token, interval_ms of each to beat
-- Clock   due; the workers' leases; patience; due again one interval from now, so that two beats
--         never double the calls
local now = now_ms()
local due = redis.call('ZRANGEBYSCORE', key('heartbeats'), '-inf', now, 'LIMIT', 0, ARGV[1])
local taken = {#due}
for _, id in ipairs(due) do
  local claim = claim_fields(id, 'state', 'every', 'until', 'worker', 'alive')
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
    if speaks then
      redis.call('HINCRBY', key('claim', id), 'beats', 1)
      taken[#taken + 1] = id
      taken[#taken + 1] = redis.call('GET', key('token', id))
      taken[#taken + 1] = every
    end
  end
end
return taken
