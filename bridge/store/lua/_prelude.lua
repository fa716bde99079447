-- Put before every script by bridge/store: the keys, the clock, and the check of the schema.
--
-- The header of each script says under "Clock" which times the script deals with: those that it
-- compares with the store's time (now_ms() below), sets from it, or lets Redis expire.
--
-- KEYS[1] is the root key, "{prefix}". Its hash tag keeps every key on one node of a Redis Cluster, so
-- that scripts may derive the other keys from it:
--
-- root                  string  the store's schema, the number of its layout of keys, which is raised
--                               when the layout changes. In every schema, root, load, workers and
--                               pollers stay as they are: they tell processes of every version
--                               whether the store is in use. The rest of this list is schema 2
-- root:claim:<id>       hash    one claim; fields in brackets are left out where they do not apply,
--                               because a million claims may be kept:
--                                 activity, queue, state, attempt
--                                 every       ms between its heartbeats
--                                 [attempts]  how many attempts it may have, if not 1
--                                 [retry]     the Celery retry that it has come to, if not 0
--                                 [until]     while it waits: when its patience ends (Unix ms)
--                                 [worker]    while it runs: the worker that runs it
--                                 [run]       while it runs: the id of the run
--                                 [manual]    1: its job has manual heartbeats
--                                 [alive]     while such a job runs: until when its last sign of life
--                                             counts (Unix ms)
--                                 [missing]   the number of the first renewal of its worker that did
--                                             not name it
--                                 [again]     how often it was published anew
--                                 [missed]    when the heartbeat that failed was due (Unix ms)
--                                 [begun]     when its last run began (Unix ms)
--                                 [waited]    ms until its first run began, if that is not the last
--                                 [settled]   when its outcome was stored (Unix ms)
--                                 [by]        the worker that ran it when it was settled
--                                 [reason]    why it was closed
-- root:task:<id>        string  the task token, a line break, and the input. The token is a secret: no
--                               script that a worker calls touches this key, and the workers' Redis
--                               user needs no right to it
-- root:outcome:<id>     string  the outcome, until Step Functions takes it
-- root:heartbeats       zset    claim -> next heartbeat (Unix ms)
-- root:outbox           zset    claim -> next try to report (Unix ms)
-- root:unstarted        zset    claim -> when recovery looks whether its job has started (Unix ms)
-- root:wake             list    at most one element: there is something new in the outbox
-- root:claims:<activity> zset   claim -> claimed (Unix ms): what is in flight
-- root:load             hash    queue -> claims in flight
-- root:tally            hash    <activity>|<state> -> claims; a claimed one counts as queued
-- root:waiting          hash    <activity>|<queue> -> claims that have not begun and are due
-- root:countdown        zset    claim -> when its retry is due (Unix ms); until then it does not wait
-- root:held_back        hash    claim -> worker that holds its job back for a rate limit; meanwhile it
--                               does not wait
-- root:aside            hash    <activity>|countdown or <activity>|held_back -> claims
-- root:running          hash    <activity>|<class> -> claims that run on the workers of a class; the
--                               empty class: on workers that offer nothing
-- root:begun:<activity> zset    claim that runs -> when its run began (Unix ms)
-- root:oldest           zset    activity -> when the oldest of its runs began (Unix ms). That run may
--                               have ended: a grant that reads the value corrects it
-- root:lasted           hash    <activity> -> longest of its last 20 runs, when the last one ended (Unix
--                               ms), and how long each took, in ms, the last run first; a space between
-- root:ended            hash    <activity>|succeeded or <activity>|failed -> outcomes so far
-- root:workers          zset    worker -> end of its lease (Unix ms)
-- root:fleet            hash    worker -> {"slots": n, "queues": [...], "ordinary": n, "fetches": bool}:
--                               what it announces; see renew_lease in bridge/store/jobs.py
-- root:held             hash    worker -> {"jobs": [claim, ...], "active": [...], "held_back": [...]}:
--                               the claims whose jobs Celery has given it, those of them that it runs,
--                               and those that it holds back.
--                               Also clock, offset, slack (ms), see noted_clock() below: in this key,
--                               because the workers' Redis user has a right to it
-- root:unwanted:<worker> set    closed or settled claims whose jobs it still runs
-- root:offers           hash    worker with a lease -> slots|ordinary|offered|used|class
-- root:classes          hash    sums over the workers of a class; see _ledger.lua:
--                               S|<class> slots, E|<class> offered slots, U|<class> used slots,
--                               N|<class> workers
-- root:runs:<worker>    set     claims that it runs
-- root:pollers          zset    poller -> end of its lease (Unix ms)
-- root:polls:<poller>   hash    <activity>|<queue> -> its open polls, fresh and idle ones: "2 1"
-- root:throttled:<place> string exists while Step Functions throttles reports or heartbeats in that
--                               region and account; <place> is empty for the processes' own
-- root:passes           hash    heartbeat|recovery -> when the last pass began (Unix ms);
--                               beat:<pass> -> when the last pass of a beat process began;
--                               amnesty -> until when no worker counts as dead;
--                               takeover -> until when workers announce anew what they have
-- root:server           string  run id of the server that the last recovery pass met
local root = KEYS[1]

local function key(name, of)
  return of and root .. ':' .. name .. ':' .. of or root .. ':' .. name
end

local function redis_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The store's clock is Redis' clock plus an offset. Redis' clock may jump: NTP sets it, or a failover
-- leads to a host with another clock. Pollers and beat processes watch it and note its time; workers
-- note it with their leases. A time that is far from the last note is in doubt, and no time passes in
-- the store until a process that has watched the clock says whether it jumped (set_clock). The offset
-- makes up for a jump, so that every score and deadline stays right. If the clock has not jumped, the
-- store's time goes on from Redis' time.
--
-- Returns clock (Redis' time at the last note), offset, slack (how far apart two notes may be), in ms;
-- false where no process has noted the clock yet.
local function noted_clock()
  return unpack(redis.call('HMGET', key('held'), 'clock', 'offset', 'slack'))
end

local function in_doubt(time, last, slack)
  return time < last - 1000 or time > last + slack
end

local function note_clock(last, offset, slack)
  redis.call('HSET', key('held'), 'clock', last, 'offset', offset, 'slack', slack)
end

-- The store's time, Unix ms; each call within one script returns the same.
local instant
local function now_ms()
  if not instant then
    local last, offset, slack = noted_clock()
    instant = redis_ms()
    if last then
      instant = (in_doubt(instant, last, slack) and last or instant) + offset
    end
  end
  return instant
end

-- The store's time for scripts that only read. It does not stand still where the clock is in doubt,
-- because there may be no process that watches the clock.
local function unchecked_now_ms()
  local _, offset = noted_clock()
  return redis_ms() + (offset or 0)
end

-- The values of these fields of a claim; false for each field that it does not have.
local function claim_fields(id, ...)
  return unpack(redis.call('HMGET', key('claim', id), ...))
end

-- The task token of a claim that is not closed.
local function token_of(id)
  -- The longest token has 2,048 characters, of up to four bytes; the input behind it may have 1 MiB.
  return string.match(redis.call('GETRANGE', key('task', id), 0, 8191), '^[^\n]*')
end

-- At maxmemory Redis refuses a script whose first write may take memory. It refuses no later write of
-- a script whose first write takes none (Redis 6.2, 7 and Valkey 9 do so). So a script that keeps
-- tokens alive or ends claims first removes something, or calls this: a write that changes nothing.
-- Without it a full store could not drain.
local function run_at_maxmemory()
  redis.call('PERSIST', root)
end

-- Writes the schema into a store that has none; for scripts that must write something else first.
local function write_missing_schema()
  redis.call('SET', root, schema, 'NX')
end

-- The error of a store that has another schema than this script; nil if it has the same one. A store
-- that is in use and has no schema has the layout of schema 1, whose first versions wrote no number. The
-- first process that meets an unused store writes its own schema into it, also in place of another one:
-- a store is unused when no claim is in flight and no worker or poller has a lease.
local function other_schema(only_look)
  local found = redis.call('GET', root)
  if found == schema then
    return nil
  end
  local used = redis.call('EXISTS', key('load')) == 1
  for _, lease in ipairs({'workers', 'pollers'}) do
    used = used or redis.call('ZCOUNT', key(lease), now_ms(), '+inf') > 0
  end
  if used and (found or '1') ~= schema then
    return {err = 'SCHEMA ' .. (found or '1')}
  end
  if not only_look then
    run_at_maxmemory()
    redis.call('SET', root, schema)
  end
end

-- When an activity task that is in flight was claimed (Unix ms).
local function claimed_ms(id, activity)
  return redis.call('ZSCORE', key('claims', activity), id)
end

-- Appends these values to a list.
local function append(list, ...)
  for i = 1, select('#', ...) do
    list[#list + 1] = (select(i, ...))
  end
end
