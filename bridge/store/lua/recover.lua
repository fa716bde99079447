-- recover: whoever ran this attempt is gone; let it run again, or fail it.
-- KEYS[1] root
-- ARGV    claim_id, attempt, worker (that ran it), outcome (of the failure),
--         job_is_gone (0|1: Celery has dropped the job: it runs nowhere, and will not begin),
--         patience_ms
-- Returns 'again'   the next attempt waits to be dispatched
--         'failed'  no attempt is left, or none was allowed: the outcome is in the outbox
--         'moved'   this worker no longer ran it, or has renewed its lease meanwhile
-- Clock   the worker's lease; due for dispatch at once; patience of the next attempt
--
-- State, owner and attempt change in one step: an attempt that is raised but still owned would be
-- dropped by the fence at every delivery, for ever.
run_at_maxmemory()
local id, now = ARGV[1], now_ms()
local claim = claim_fields(id, 'activity', 'state', 'attempt', 'worker', 'attempts', 'queue')
local state, attempt, worker = claim[2], claim[3], claim[4]
local job_is_gone = ARGV[5] == '1'
local ran = state == 'running' and worker == ARGV[3] and (job_is_gone or not has_lease(worker, now))
local never_began = (state == 'claimed' or state == 'queued') and job_is_gone
if attempt ~= ARGV[2] or not (ran or never_began) then
  return 'moved'
end
if tonumber(attempt) >= tonumber(claim[5] or 1) then
  put_into_outbox(id, claim[1], claim[6], state, worker, ARGV[4])
  return 'failed'
end
move(id, claim[1], claim[6], state, 'claimed', worker, 'attempt', attempt + 1, 'until', now + ARGV[6])
if never_began then
  -- Due at once, whatever it waited for.
  end_waiting(id, claim[1], claim[6])
  waiting(claim[1], claim[6], 1)
end
redis.call('HDEL', key('claim', id), 'again', 'retry')
redis.call('ZADD', key('unstarted'), now, id)
-- It has said that it has this job, and would keep the next attempt from being published.
local has = redis.call('HGET', key('held'), ARGV[3])
if has then
  has = cjson.decode(has)
  local jobs = {}
  for _, each in ipairs(has.jobs) do
    if each ~= id then jobs[#jobs + 1] = each end
  end
  has.jobs = jobs
  redis.call('HSET', key('held'), ARGV[3], cjson.encode(has))
end
return 'again'
