-- lose: whoever ran this attempt is gone; let it run again, or fail it.
-- KEYS[1] root
-- ARGV    claim_id, attempt, worker (that ran it), outcome (of the failure),
--         job_is_gone (0|1: a job that had not begun yet will not begin any more)
-- Returns 'again'   the next attempt waits to be dispatched
--         'failed'  no attempt is left, or none was allowed: the outcome is in the outbox
--         'moved'   this worker no longer ran it
-- Clock   due for dispatch at once
--
-- State, owner and attempt change in one step: an attempt that is raised but still owned would be
-- dropped by the fence at every delivery, for ever.
local id = ARGV[1]
local claim = claim_fields(id, 'activity', 'state', 'attempt', 'worker', 'attempts')
local state, attempt, worker = claim[2], claim[3], claim[4]
local ran = state == 'running' and worker == ARGV[3]
local never_began = (state == 'claimed' or state == 'queued') and ARGV[5] == '1'
if attempt ~= ARGV[2] or not (ran or never_began) then
  return 'moved'
end
if tonumber(attempt) >= tonumber(claim[5]) then
  put_into_outbox(id, claim[1], state, worker, ARGV[4])
  return 'failed'
end
move(id, claim[1], state, 'claimed', worker)
redis.call('HINCRBY', key('claim', id), 'attempt', 1)
redis.call('HSET', key('claim', id), 'retry', 0)
redis.call('HDEL', key('claim', id), 'again')
redis.call('ZADD', key('unstarted'), now_ms(), id)
return 'again'
