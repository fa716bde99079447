-- settle: store the outcome and put it into the outbox.
-- KEYS[1] root
-- ARGV    claim_id, attempt, ok (0|1), outcome, of (what it counts for: 'any' | 'unbegun': of a
--         delivery that never began, only while none runs | 'running': only while one runs)
-- Returns 'stored' | 'settled' an outcome was there before | 'stale' a failure of an old attempt
--         | 'running' another delivery runs, whose outcome counts | 'waiting' none runs: the job
--         begins, or begins again, later | 'closed' the claim is closed
-- Clock   due in the outbox at once; how long the run took
local id = ARGV[1]
local claim = claim_fields(id, 'activity', 'state', 'attempt', 'worker', 'queue', 'begun')
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
if ARGV[5] == 'unbegun' and state == 'running' then
  return 'running'
end
if ARGV[5] == 'running' and state ~= 'running' then
  return 'waiting'
end
put_into_outbox(id, claim[1], claim[5], state, claim[4], ARGV[4])
if state == 'running' then
  if claim[3] == ARGV[2] then
    learn(claim[1], now_ms() - claim[6])
  else
    runs_on(id, claim[4]) -- a success of an older attempt was first
  end
end
return 'stored'
