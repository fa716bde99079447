-- close: Step Functions takes nothing more for these tokens; forget them.
-- KEYS[1] root
-- ARGV    reason, claim_id, …
-- Returns how many jobs were not finished; claim_id, attempt, activity of each: it is to be revoked;
--         then of each that was settled: activity, worker that ran it, the error of a failure that was
--         not reported (else empty), and three times in ms (-1: not known): from claimed to its first
--         run, of its last run, from settled until now
-- Clock   since when it is settled; a closed claim is remembered: for a day if its job was not
--         finished, so that it can be told why; else for as long as a lost call to store it may be
--         repeated
local unfinished_s, finished_s = 86400, 900
local unfinished, ended, now = {}, {}, now_ms()

-- Who closes a claim for another reason than its report has not seen the outcome.
local function unreported_error(id)
  if ARGV[1] == 'reported' or redis.call('GETRANGE', key('outcome', id), 0, 0) ~= '-' then
    return ''
  end
  return cjson.decode(string.sub(redis.call('GET', key('outcome', id)), 2)).error
end

for i = 2, #ARGV do
  local id = ARGV[i]
  local claim = claim_fields(id, 'activity', 'state', 'attempt', 'worker', 'queue', 'by',
    'waited', 'begun', 'settled')
  local activity, state, worker = claim[1], claim[2], claim[4]
  if state and state ~= 'closed' then
    local settled, claimed = state == 'settled', claimed_ms(id, activity)
    local failed_as = settled and unreported_error(id)
    redis.call('ZREM', key('claims', activity), id) -- first: it takes no memory
    tally(activity, state, -1)
    count('load', claim[5], -1)
    vacate(id, activity, claim[5], state, worker)
    if worker then runs_on(id, worker) end
    redis.call('ZREM', key('heartbeats'), id)
    if settled then redis.call('ZREM', key('outbox'), id) end
    redis.call('DEL', key('task', id), key('outcome', id), key('claim', id))
    redis.call('HSET', key('claim', id), 'state', 'closed', 'reason', ARGV[1])
    redis.call('EXPIRE', key('claim', id), settled and finished_s or unfinished_s)
    if settled then
      local by, begun, came = claim[6], claim[8], claim[9]
      ended[#ended + 1] = activity
      ended[#ended + 1] = by
      ended[#ended + 1] = failed_as
      ended[#ended + 1] = tonumber(claim[7] or begun and begun - claimed or -1)
      ended[#ended + 1] = by ~= '' and came - begun or -1
      ended[#ended + 1] = now - came
    else
      unfinished[#unfinished + 1] = id
      unfinished[#unfinished + 1] = claim[3]
      unfinished[#unfinished + 1] = activity
    end
  end
end
local answer = {#unfinished / 3}
for _, part in ipairs(unfinished) do answer[#answer + 1] = part end
for _, part in ipairs(ended) do answer[#answer + 1] = part end
return answer
