-- withdraw_poller: a poller has stopped in order; forget its polls, which take no room any more.
-- KEYS[1] root
-- ARGV    poller
-- Returns 1 withdrawn | 0 it was not known
-- Clock   none
run_at_maxmemory()
local poller = ARGV[1]
redis.call('DEL', key('polls', poller))
return redis.call('ZREM', key('pollers'), poller)
