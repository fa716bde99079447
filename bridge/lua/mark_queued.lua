-- mark_queued: note that the job of an attempt was published.
-- KEYS[1] root
-- ARGV    claim_id, attempt, grace_ms (until somebody asks why the job has not started)
-- Returns 1 noted | 0 the claim has moved on already (its job may be faster than this note)
-- Clock   the grace
local claim = claim_fields(ARGV[1], 'activity', 'state', 'attempt')
if claim[2] ~= 'claimed' or claim[3] ~= ARGV[2] then
  return 0
end
move(ARGV[1], claim[1], 'claimed', 'queued')
redis.call('ZADD', key('unstarted'), now_ms() + ARGV[3], ARGV[1])
return 1
