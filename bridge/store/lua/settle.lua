-- settle: store the outcome of a job and put it into the outbox.
-- KEYS[1] root
-- ARGV    claim_id, attempt, ok (0|1), outcome,
--         of (which delivery has this outcome: 'any' | 'unbegun': one that never began; the outcome
--         counts only while no other delivery runs | 'running': one that runs; the outcome counts only
--         while a delivery runs)
-- Returns 'stored'  | it is in the outbox
--         'settled' | an outcome was stored before
--         'stale'   | a failure of an old attempt
--         'running' | another delivery runs, whose outcome counts
--         'waiting' | no delivery runs: the job begins, or begins again, later
--         'closed'  | the claim is closed
-- Clock   due in the outbox at once; how long the run took
local id, attempt, ok, outcome, of = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4], ARGV[5]
local activity, state, current, worker, queue, begun = claim_fields(id,
  'activity', 'state', 'attempt', 'worker', 'queue', 'begun')
if not state or state == 'closed' then
  return 'closed'
end
if state == 'settled' then
  return 'settled'
end
-- A success counts whichever attempt brings it; a failure counts only for the current attempt.
if not ok and attempt ~= current then
  return 'stale'
end
if of == 'unbegun' and state == 'running' then
  return 'running'
end
if of == 'running' and state ~= 'running' then
  return 'waiting'
end
put_into_outbox(id, activity, queue, state, worker, outcome)
if state == 'running' then
  if attempt == current then
    learn(activity, now_ms() - begun)
  else
    mark_unwanted(id, worker) -- an older attempt succeeded first
  end
end
return 'stored'
