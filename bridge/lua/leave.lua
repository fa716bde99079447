-- leave: a worker has ended in order; nothing of it is to be waited for.
-- KEYS[1] root
-- ARGV    worker
-- Returns how many claims it still held: they stay, and its lease with them
-- Clock   none
local held = redis.call('SCARD', key('runs', ARGV[1]))
if held == 0 then
  redis.call('ZREM', key('workers'), ARGV[1])
  redis.call('HDEL', key('fleet'), ARGV[1])
end
return held
