-- watch_clock: note that a process watches Redis' clock, unless it is in doubt.
-- KEYS[1] root
-- ARGV    slack_ms (that may lie between two notes)
-- Returns Redis' time in ms; -1 it is noted | the last noted one: this is too far from it
-- Clock   Redis' own
run_at_maxmemory()
local time = redis_ms()
local last, offset, slack = noted_clock()
if last and in_doubt(time, last, slack) then
  return {time, tonumber(last)}
end
note_clock(time, offset or 0, ARGV[1])
return {time, -1}
