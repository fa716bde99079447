-- end_lease: a worker has stopped in order, and none of its jobs runs any more.
-- KEYS[1] root
-- ARGV    worker
-- Returns how many claims it still held; its lease has ended, so that they are recovered at once
-- Clock   end of the lease
run_at_maxmemory()
local worker = ARGV[1]
local runs = redis.call('SCARD', key('runs', worker))
if runs == 0 then
  forget_worker(worker)
else
  redis.call('ZADD', key('workers'), now_ms() - 1, worker)
  remove_worker(worker)
end
return runs
