-- store_claim: make a claim durable, before its job is published.
-- KEYS[1] root
-- ARGV    claim_id, token, input, activity, queue, every_ms (between heartbeats), manual (0|1),
--         patience_ms, poller, max_attempts, grace_ms (until recovery publishes the job)
-- Returns 1 stored | 0 it was there already (the call was repeated) | OOM as an error when Redis is at
--         maxmemory: its first write takes memory
-- Clock   claimed; first heartbeat; end of patience
local id, token, input, activity, queue, every, manual, patience, poller, max_attempts, grace = unpack(ARGV)
local now = now_ms()
if redis.call('EXISTS', key('claim', id)) == 1 then
  return 0
end
redis.call('HSET', key('claim', id), 'activity', activity, 'queue', queue, 'state', 'claimed',
  'attempt', 1, 'every', every, 'until', now + patience)
write_missing_schema() -- the store may have lost its data since the last claim
if max_attempts ~= '1' then
  redis.call('HSET', key('claim', id), 'attempts', max_attempts)
end
if manual == '1' then
  redis.call('HSET', key('claim', id), 'manual', 1)
end
redis.call('SET', key('task', id), token .. '\n' .. input)
redis.call('ZADD', key('heartbeats'), now + every, id)
redis.call('ZADD', key('claims', activity), now, id)
redis.call('ZADD', key('unstarted'), now + grace, id)
tally(activity, 'claimed', 1)
count('load', queue, 1)
count_waiting(activity, queue, 1)
-- The poll stops counting in the same step; otherwise the claim and the poll would both take a slot.
local poll = activity .. '|' .. queue
local open = redis.call('HGET', key('polls', poller), poll)
if open then
  local fresh, idle = string.match(open, '^(%d+) (%d+)$')
  if tonumber(fresh) > 0 then fresh = fresh - 1 else idle = math.max(0, idle - 1) end
  if fresh + idle > 0 then
    redis.call('HSET', key('polls', poller), poll, fresh .. ' ' .. idle)
  else
    redis.call('HDEL', key('polls', poller), poll)
  end
end
return 1
