-- release: the run ended without an outcome and its job will come again (a Celery retry, a requeue).
-- KEYS[1] root
-- ARGV    claim_id, attempt, run, retry (of the delivery to come), delay_ms, patience_ms, grace_ms,
--         published (0|1: the broker did not take the message: recovery is to publish it)
-- Returns 1 released | 0 another run, or none, holds the claim
-- Clock   end of patience, and when recovery looks at it, both counted from when the job may start; how
--         long the run took
run_at_maxmemory()
local claim = claim_fields(ARGV[1], 'activity', 'state', 'attempt', 'run', 'worker', 'queue', 'begun')
if claim[2] ~= 'running' or claim[3] ~= ARGV[2] or claim[4] ~= ARGV[3] then
  return 0
end
local now, delay = now_ms(), tonumber(ARGV[5])
local starts = now + delay
local published = ARGV[8] == '1'
move(ARGV[1], claim[1], claim[6], 'running', published and 'queued' or 'claimed', claim[5], 'retry', ARGV[4],
  'until', starts + ARGV[6])
learn(claim[1], now - claim[7])
if delay > 0 then
  start_countdown(ARGV[1], claim[1], claim[6], starts)
end
redis.call('HDEL', key('claim', ARGV[1]), 'again')
redis.call('ZADD', key('unstarted'), starts + (published and ARGV[7] or 0), ARGV[1])
return 1
