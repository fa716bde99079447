-- settle: store the outcome and put it into the outbox.
-- KEYS[1] root
-- ARGV    claim_id, attempt, ok (0|1), outcome
-- Returns 'stored' | 'settled' an outcome was there before | 'stale' a failure of an old attempt
--         | 'closed' the claim is closed or gone
-- Clock   due in the outbox at once
local id = ARGV[1]
local claim = claim_fields(id, 'activity', 'state', 'attempt', 'worker')
local state = claim[2]
if not state or state == 'closed' then
  return 'closed'
end
if state == 'settled' then
  return 'settled'
end
-- A success is true whoever brings it; a failure counts only for the attempt that is on.
if ARGV[3] == '0' and claim[3] ~= ARGV[2] then
  return 'stale'
end
put_into_outbox(id, claim[1], state, claim[4], ARGV[4])
return 'stored'
