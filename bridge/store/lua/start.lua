-- start: may this delivery run the user's code?
-- KEYS[1] root
-- ARGV    claim_id, attempt, retry (Celery's count), worker, run (unique for each delivery)
-- Returns 'run'      | it may, and the claim is marked as running
--         'closed'   | the claim is closed or gone
--         'stale'    | a later attempt was dispatched, or a later retry
--         'settled'  | an outcome is stored already
--         'running'  | another delivery of this attempt runs
--         'unleased' | the worker's lease is not there yet, or has ended: ask again
-- Clock   the worker's lease; manual heartbeats
local id, attempt, retry, worker, run = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
local claim = claim_fields(id, 'activity', 'state', 'attempt', 'retry', 'worker', 'run', 'manual',
  'every', 'begun', 'waited', 'queue')
local state, held_by, came_to = claim[2], claim[5], tonumber(claim[4] or 0)
if not state or state == 'closed' then
  return 'closed'
end
if claim[3] ~= attempt then
  return 'stale'
end
if state == 'settled' then
  return 'settled'
end
if state == 'running' and claim[6] == run then
  return 'run' -- our own call, repeated after its answer was lost
end
if retry < came_to then
  return 'stale'
end
-- Celery publishes a retry before the run that asked for it has ended: the later retry takes over.
if state == 'running' and retry == came_to then
  return 'running'
end
local now = now_ms()
if not has_lease(worker, now) then
  return 'unleased'
end
move(id, claim[1], claim[11], state, 'running', held_by, 'worker', worker, 'run', run, 'begun', now)
if retry ~= came_to then
  redis.call('HSET', key('claim', id), 'retry', retry)
end
if claim[9] and not claim[10] then
  redis.call('HSET', key('claim', id), 'waited', claim[9] - claimed_ms(id, claim[1]))
end
begin_run(id, claim[1], worker, now)
if claim[7] then
  redis.call('HSET', key('claim', id), 'alive', now + 2 * claim[8])
end
return 'run'
