-- note_beat_pass: a beat process is at work: who stands in for it can stop.
-- KEYS[1] root
-- ARGV    pass (heartbeat | recovery)
-- Returns nothing of use
-- Clock   notes that a pass of a beat process begins
run_at_maxmemory()
return redis.call('HSET', key('passes'), 'beat:' .. ARGV[1], now_ms())
