-- release: a run ended without an outcome, and its job is delivered again (a Celery retry, a requeue).
-- KEYS[1] root
-- ARGV    claim_id, attempt, run, retry (of the delivery to come), delay_ms, patience_ms, grace_ms,
--         published (0|1: the broker did not take the message, and recovery is to publish it)
-- Returns 1 released | 0 another run holds the claim, or no run does
-- Clock   end of patience, and when recovery looks at the claim, both counted from when the job may start;
--         how long the run took
run_at_maxmemory()
local id, attempt, run, retry = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local delay, patience, grace = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local published = ARGV[8] == '1'
local activity, state, current, holder, worker, queue, begun = claim_fields(id,
  'activity', 'state', 'attempt', 'run', 'worker', 'queue', 'begun')
if state ~= 'running' or attempt ~= current or run ~= holder then
  return 0
end
local now = now_ms()
local starts = now + delay
move(id, activity, queue, 'running', published and 'queued' or 'claimed', worker, 'retry', retry,
  'until', starts + patience)
learn(activity, now - begun)
if delay > 0 then
  start_countdown(id, activity, queue, starts)
end
redis.call('HDEL', key('claim', id), 'again')
redis.call('ZADD', key('unstarted'), starts + (published and grace or 0), id)
return 1
