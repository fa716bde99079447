-- watch_clock: note the time of Redis' clock, unless it is in doubt.
-- KEYS[1] root
-- ARGV    slack_ms (how far apart two notes may be)
-- Returns Redis' time in ms, and -1 if it is noted, else the last noted time, from which it is too far
-- Clock   Redis' own
run_at_maxmemory()
local new_slack = ARGV[1]
local time = redis_ms()
local last, offset, slack = noted_clock()
if last and in_doubt(time, last, slack) then
  return {time, tonumber(last)}
end
note_clock(time, offset or 0, new_slack)
return {time, -1}
