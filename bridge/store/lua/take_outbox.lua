-- take_outbox: take outcomes that are due, and hold them back from other reporters meanwhile.
-- KEYS[1] root
-- ARGV    limit, hold_ms, overdue_ms (only what has been due for so long)
-- Returns next_due_ms (from now; -1 when the outbox is empty), then claim_id, token, outcome,
--         activity, waited_ms (since it was settled), …
-- Clock   due; due again after hold_ms, should the taker die
run_at_maxmemory()
local other = other_schema()
if other then
  return other
end
local now = now_ms()
local taken = {-1}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('outbox'), '-inf', now - ARGV[3],
    'LIMIT', 0, ARGV[1])) do
  redis.call('ZADD', key('outbox'), now + ARGV[2], id)
  taken[#taken + 1] = id
  taken[#taken + 1] = token_of(id)
  taken[#taken + 1] = redis.call('GET', key('outcome', id))
  local claim = claim_fields(id, 'activity', 'settled')
  taken[#taken + 1] = claim[1]
  taken[#taken + 1] = math.max(0, now - claim[2])
end
local first = redis.call('ZRANGE', key('outbox'), 0, 0, 'WITHSCORES')
if first[2] then
  taken[1] = math.max(0, tonumber(first[2]) - now)
end
return taken
