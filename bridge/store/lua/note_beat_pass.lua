-- note_beat_pass: a beat process begins a pass, so that no stand-in for it is needed.
-- KEYS[1] root
-- ARGV    pass (heartbeat | recovery)
-- Returns nothing of use
-- Clock   notes that a pass of a beat process begins
run_at_maxmemory()
local pass = ARGV[1]
return redis.call('HSET', key('passes'), 'beat:' .. pass, now_ms())
