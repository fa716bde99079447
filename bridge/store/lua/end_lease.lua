-- end_lease: a worker has ended in order, and nothing of it runs any more.
-- KEYS[1] root
-- ARGV    worker
-- Returns how many claims it still held: its lease has ended, so that they are recovered at once
-- Clock   end of the lease
run_at_maxmemory()
local held = redis.call('SCARD', key('runs', ARGV[1]))
if held == 0 then
  forget_worker(ARGV[1])
else
  redis.call('ZADD', key('workers'), now_ms() - 1, ARGV[1])
  uncount(ARGV[1])
end
return held
