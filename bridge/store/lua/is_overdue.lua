-- is_overdue: has no pass of this kind begun for this long? Reads only.
-- KEYS[1] root
-- ARGV    pass (heartbeat | recovery; with "beat:" before it: passes of beat processes only), after_ms
-- Returns 1 none has | 0 one has
-- Clock   when the last pass began
local pass, after = ARGV[1], tonumber(ARGV[2])
local last = tonumber(redis.call('HGET', key('passes'), pass) or 0)
return now_ms() - last > after and 1 or 0
