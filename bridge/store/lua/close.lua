-- close: forget claims for whose tokens Step Functions accepts nothing more.
-- KEYS[1] root
-- ARGV    reason, then the claim_id of each
-- Returns two lists:
--         unfinished: claim_id, attempt, activity of each whose job had not ended; it is to be revoked
--         ended: activity, worker (that ran it), error (of a failure that was not reported; else empty),
--           waited_ms (from claimed to its first run), ran_ms (its last run), unreported_ms (from settled
--           until now) of each that was settled; -1: not known
-- Clock   how long ago it was settled. A closed claim is remembered: for a day if its job was not
--         finished, so that the job can be told why; else for as long as a lost call to store the claim
--         may be repeated
local unfinished_s, finished_s = 86400, 900
local reason, now = ARGV[1], now_ms()
local unfinished, ended = {}, {}

-- The error of a failure that was not reported before its claim was closed; else empty.
local function unreported_error(id)
  if reason == 'reported' or redis.call('GETRANGE', key('outcome', id), 0, 0) ~= '-' then
    return ''
  end
  return cjson.decode(string.sub(redis.call('GET', key('outcome', id)), 2)).error
end

local function close(id)
  local activity, state, attempt, worker, queue, by, waited, begun, settled_at = claim_fields(id,
    'activity', 'state', 'attempt', 'worker', 'queue', 'by', 'waited', 'begun', 'settled')
  if not state or state == 'closed' then
    return
  end
  local settled, claimed = state == 'settled', claimed_ms(id, activity)
  local failed_as = settled and unreported_error(id)
  redis.call('ZREM', key('claims', activity), id) -- first: it takes no memory
  tally(activity, state, -1)
  count('load', queue, -1)
  vacate(id, activity, queue, state, worker)
  if worker then mark_unwanted(id, worker) end
  redis.call('ZREM', key('heartbeats'), id)
  if settled then redis.call('ZREM', key('outbox'), id) end
  redis.call('DEL', key('task', id), key('outcome', id), key('claim', id))
  redis.call('HSET', key('claim', id), 'state', 'closed', 'reason', reason)
  redis.call('EXPIRE', key('claim', id), settled and finished_s or unfinished_s)
  if settled then
    local waited_ms = tonumber(waited or begun and begun - claimed or -1)
    local ran_ms = by ~= '' and settled_at - begun or -1
    append(ended, activity, by, failed_as, waited_ms, ran_ms, now - settled_at)
  else
    append(unfinished, id, attempt, activity)
  end
end

for i = 2, #ARGV do close(ARGV[i]) end
return {unfinished, ended}
