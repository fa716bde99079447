-- take_undispatched: claims whose job was not published in time; hidden from others meanwhile.
-- KEYS[1] root
-- ARGV    limit, hold_ms, patience_ms
-- Returns claim_id, activity, attempt, input of each
-- Clock   due; due again after hold_ms; the patience of a job that is published anew
local now = now_ms()
local taken = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('undispatched'), '-inf', now,
    'LIMIT', 0, ARGV[1])) do
  local claim = claim_fields(id, 'activity', 'attempt')
  redis.call('ZADD', key('undispatched'), now + ARGV[2], id)
  redis.call('HSET', key('claim', id), 'until', now + ARGV[3])
  taken[#taken + 1] = id
  taken[#taken + 1] = claim[1]
  taken[#taken + 1] = claim[2]
  taken[#taken + 1] = redis.call('GET', key('input', id))
end
return taken
