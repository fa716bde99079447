-- is_overdue: has nobody begun a pass of this kind for so long? Reads only.
-- KEYS[1] root
-- ARGV    heartbeat | recovery, or one of them with "beat:" before it; after_ms
-- Returns 1 nobody | 0 somebody has
-- Clock   the last pass; with "beat:", the last of a beat process
local last = tonumber(redis.call('HGET', key('passes'), ARGV[1]) or 0)
return now_ms() - last > tonumber(ARGV[2]) and 1 or 0
