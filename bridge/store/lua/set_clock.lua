-- set_clock: end a doubt about Redis' clock: time has passed, and the clock may have jumped.
-- KEYS[1] root
-- ARGV    last (noted time, in ms, that the doubt is about), jump_ms (by which the clock jumped; 0: it
--         did not)
-- Returns 1 set | 0 another process was faster
-- Clock   Redis' own
run_at_maxmemory()
local last, offset, slack = noted_clock()
if last ~= ARGV[1] then
  return 0
end
note_clock(redis_ms(), offset - ARGV[2], slack)
return 1
