-- start: may this delivery run the user's code?
-- KEYS[1] root
-- ARGV    claim_id, attempt, retry (Celery's count), worker, run (unique for each delivery)
-- Returns 'run'      | it may, and the claim is marked as running
--         'closed'   | the claim is closed or gone
--         'stale'    | the claim has a later attempt, or a later Celery retry, than this delivery
--         'settled'  | an outcome is stored already
--         'running'  | another delivery of this attempt runs
--         'unleased' | the worker has no lease yet, or its lease has ended: ask again
-- Clock   whether the worker's lease lasts; when the run began; until when the start counts as a manual
--         heartbeat
local id, attempt, retry, worker, run = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
local activity, state, current, known_retry, holder, known_run, manual, every, begun, waited, queue =
  claim_fields(id, 'activity', 'state', 'attempt', 'retry', 'worker', 'run', 'manual', 'every',
    'begun', 'waited', 'queue')
if not state or state == 'closed' then
  return 'closed'
end
if attempt ~= current then
  return 'stale'
end
if state == 'settled' then
  return 'settled'
end
if state == 'running' and known_run == run then
  return 'run' -- this call, repeated after its answer was lost
end
local last_retry = tonumber(known_retry or 0)
if retry < last_retry then
  return 'stale'
end
-- Celery publishes a retry before the run that asked for it has ended: the later retry takes over.
if state == 'running' and retry == last_retry then
  return 'running'
end
local now = now_ms()
if not has_lease(worker, now) then
  return 'unleased'
end
move(id, activity, queue, state, 'running', holder, 'worker', worker, 'run', run, 'begun', now)
if retry ~= last_retry then
  redis.call('HSET', key('claim', id), 'retry', retry)
end
if begun and not waited then
  redis.call('HSET', key('claim', id), 'waited', begun - claimed_ms(id, activity))
end
begin_run(id, activity, worker, now)
if manual then
  redis.call('HSET', key('claim', id), 'alive', now + 2 * every)
end
return 'run'
