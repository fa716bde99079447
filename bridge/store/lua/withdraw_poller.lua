-- withdraw_poller: a poller has ended in order; its polls hold no slots any more.
-- KEYS[1] root
-- ARGV    poller
-- Returns 1 withdrawn | 0 it was not known
-- Clock   none
run_at_maxmemory()
redis.call('DEL', key('polls', ARGV[1]))
return redis.call('ZREM', key('pollers'), ARGV[1])
