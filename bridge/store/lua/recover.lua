-- recover: the process that ran this attempt is gone; let the claim run again, or fail it.
-- KEYS[1] root
-- ARGV    claim_id, attempt, worker (that ran it), outcome (of the failure),
--         job_is_gone (0|1: Celery has dropped the job: it runs nowhere, and will not begin),
--         patience_ms
-- Returns 'again'   the next attempt waits to be dispatched
--         'failed'  no attempt is left, or none was allowed: the outcome is in the outbox
--         'moved'   this worker did not run it any more, or has renewed its lease meanwhile
-- Clock   the worker's lease; due for dispatch at once; patience of the next attempt
--
-- State, owner and attempt change in one step: if a raised attempt still had an owner, the fence would
-- drop each of its deliveries, for ever.
run_at_maxmemory()
local id, attempt, worker, outcome = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local job_is_gone, patience = ARGV[5] == '1', tonumber(ARGV[6])
local activity, state, current, holder, attempts, queue = claim_fields(id,
  'activity', 'state', 'attempt', 'worker', 'attempts', 'queue')
local now = now_ms()
local ran = state == 'running' and holder == worker and (job_is_gone or not has_lease(worker, now))
local never_began = (state == 'claimed' or state == 'queued') and job_is_gone
if attempt ~= current or not (ran or never_began) then
  return 'moved'
end
if tonumber(attempt) >= tonumber(attempts or 1) then
  put_into_outbox(id, activity, queue, state, holder, outcome)
  return 'failed'
end
move(id, activity, queue, state, 'claimed', holder, 'attempt', attempt + 1, 'until', now + patience)
if never_began then
  -- The claim is due at once, even if its retry had a countdown.
  end_waiting(id, activity, queue)
  count_waiting(activity, queue, 1)
end
redis.call('HDEL', key('claim', id), 'again', 'retry')
redis.call('ZADD', key('unstarted'), now, id)
-- The worker has announced that it has this job, which would keep the next attempt from being published.
local held = redis.call('HGET', key('held'), worker)
if held then
  held = cjson.decode(held)
  local jobs = {}
  for _, each in ipairs(held.jobs) do
    if each ~= id then append(jobs, each) end
  end
  held.jobs = jobs
  redis.call('HSET', key('held'), worker, cjson.encode(held))
end
return 'again'
