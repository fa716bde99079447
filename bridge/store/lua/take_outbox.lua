-- take_outbox: take outcomes that are due, and hide them from other reporters meanwhile.
-- KEYS[1] root
-- ARGV    limit, hold_ms, overdue_ms (only outcomes that have been due for this long)
-- Returns next_due_ms (from now; -1 when the outbox is empty), and the list
--         claim_id, token, outcome, activity, waited_ms (since it was settled) of each
-- Clock   due; due again after hold_ms, in case the reporter dies
run_at_maxmemory()
local other = other_schema()
if other then
  return other
end
local limit, hold, overdue = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local now, taken = now_ms(), {}
local due = redis.call('ZRANGEBYSCORE', key('outbox'), '-inf', now - overdue, 'LIMIT', 0, limit)
for _, id in ipairs(due) do
  redis.call('ZADD', key('outbox'), now + hold, id)
  local activity, settled = claim_fields(id, 'activity', 'settled')
  local outcome = redis.call('GET', key('outcome', id))
  append(taken, id, token_of(id), outcome, activity, math.max(0, now - settled))
end
local _, first_due = unpack(redis.call('ZRANGE', key('outbox'), 0, 0, 'WITHSCORES'))
return {first_due and math.max(0, first_due - now) or -1, taken}
