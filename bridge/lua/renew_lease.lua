-- renew_lease: extend a worker's lease; say what it can take, and what it has.
-- KEYS[1] root
-- ARGV    worker, lease_ms, announcement (JSON: slots, queues), held (JSON: busy, jobs)
-- Returns 1 renewed | 0 there was none, or it had ended
-- Clock   end of the lease
local now = now_ms()
local held = has_lease(ARGV[1], now)
redis.call('ZADD', key('workers'), now + ARGV[2], ARGV[1])
redis.call('HSET', key('fleet'), ARGV[1], ARGV[3])
redis.call('HSET', key('held'), ARGV[1], ARGV[4])
return held and 1 or 0
