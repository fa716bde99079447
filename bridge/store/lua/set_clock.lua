-- set_clock: end a doubt about Redis' clock: say by how much it jumped.
-- KEYS[1] root
-- ARGV    last (the noted time, in ms, that the doubt is about), jump_ms (0: the clock did not jump)
-- Returns 1 set | 0 another process was faster
-- Clock   Redis' own
run_at_maxmemory()
local doubted, jump = ARGV[1], tonumber(ARGV[2])
local last, offset, slack = noted_clock()
if last ~= doubted then
  return 0
end
note_clock(redis_ms(), offset - jump, slack)
return 1
