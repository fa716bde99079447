-- Put before every script by bridge/store: the clock, the keys, and moves between states.
-- KEYS[1] is the root key, "{prefix}": its hash tag keeps every key on one node of a Redis Cluster,
-- so that scripts may derive the others from it.
--
-- root                  string  the store's schema: which layout of keys it has. It is raised when the
--                               layout changes; root, load, workers and pollers stay as they are, for
--                               they tell processes of every version whether the store is in use.
--                               What follows is schema 2
-- root:claim:<id>       hash    activity queue state attempt every, [attempts] that it may have and
--                               [retry] it has come to, if not 1 and 0, [until] while it waits,
--                               [worker run] while running, [manual alive] for manual heartbeats,
--                               [missing] the first renewal of its worker that did not name it,
--                               [again] how often it was published anew, [missed] the due time of
--                               a heartbeat that did not get through (Unix ms), [begun] when its
--                               last run did (Unix ms), [waited] ms until its first one did, if that
--                               is another, [settled] when its outcome came (Unix ms) and [by] who
--                               ran it, [reason] once closed. A million of them are kept: a field
--                               that says nothing is left out
-- root:task:<id>        string  the task token, a line break, and the input. The token is a secret: no
--                               script that a worker calls touches this key, and the Redis user of
--                               workers needs no right to it
-- root:outcome:<id>     string  the outcome, until Step Functions takes it
-- root:heartbeats       zset    claim -> next heartbeat (Unix ms)
-- root:outbox           zset    claim -> next try to report (Unix ms)
-- root:unstarted        zset    claim -> when to ask why its job has not started (Unix ms)
-- root:wake             list    at most one element: something came into the outbox
-- root:claims:<activity> zset   claim -> claimed (Unix ms): what is in flight
-- root:load             hash    queue -> claims in flight
-- root:tally            hash    <activity>|<state> -> claims; what is claimed counts as queued
-- root:waiting          hash    <activity>|<queue> -> claims that have not begun and are due
-- root:countdown        zset    claim -> when its retry is due (Unix ms); it does not wait until then
-- root:held_back        hash    claim -> worker that holds its job back for a rate limit; such a claim does
--                               not wait either
-- root:aside            hash    <activity>|countdown or <activity>|held_back -> claims
-- root:running          hash    <activity>|<class> -> claims that run on the workers of a class; an empty
--                               class: on workers that offer nothing
-- root:begun:<activity> zset    claim -> when its run began (Unix ms); those that run
-- root:oldest           zset    activity -> when the oldest of its runs began (Unix ms), or an older one that
--                               has ended: the next grant that looks at it corrects it
-- root:lasted           hash    <activity> -> longest of its last 20 runs, when the last one ended (Unix ms),
--                               and how long each took; ms, a space between, the last run first
-- root:ended            hash    <activity>|succeeded or <activity>|failed -> outcomes so far
-- root:workers          zset    worker -> end of its lease (Unix ms)
-- root:fleet            hash    worker -> {"slots": n, "queues": [...], "ordinary": n, "fetches": bool}: see
--                               renew_lease in bridge/store/jobs.py
-- root:held             hash    worker -> {"jobs": [claim, ...], "active": [...], "held_back": [...]}: what
--                               Celery has given it, what of that it runs, and what it holds back;
--                               and clock, offset, slack: Redis' TIME when it was last watched, and
--                               what makes the store's of it (ms): here, for the user of workers has
--                               a right to this key
-- root:unwanted:<worker> set    claims whose job it still runs, though they are closed or settled
-- root:offers           hash    worker with a lease -> slots|ordinary|offered|used|class
-- root:classes          hash    S|<class>, E|<class>, U|<class>, N|<class> -> sums of the workers of a class:
--                               slots, offered slots, used ones, workers. See _ledger.lua
-- root:runs:<worker>    set     claims that it runs
-- root:pollers          zset    poller -> end of its lease (Unix ms)
-- root:polls:<poller>   hash    <activity>|<queue> -> its open polls, fresh and idle ones: "2 1"
-- root:throttled:<place> string there while Step Functions throttles reports or heartbeats in that
--                               region and account; <place> is empty for the processes' own
-- root:passes           hash    heartbeat|recovery -> when the last pass began (Unix ms);
--                               beat:<pass> -> when the last of a beat process did;
--                               amnesty -> until when no worker is taken for dead;
--                               takeover -> until when workers say anew what they have
-- root:server           string  run id of the server that the last pass of recovery met
local root = KEYS[1]

local function key(name, of)
  return of and root .. ':' .. name .. ':' .. of or root .. ':' .. name
end

local function redis_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The store's clock is Redis' plus an offset. Redis' may jump: NTP sets it, or a failover comes to a
-- host with another one. Pollers and beat processes watch it, and note when they last did; workers
-- note it with their leases. What is far from the last note is in doubt: until a process that has
-- watched says what is true, no time passes in the store. A jump then goes into the offset, so that
-- no score or deadline is wrong; without one the time has passed. Nil: it has never been watched.
local function noted_clock()
  return unpack(redis.call('HMGET', key('held'), 'clock', 'offset', 'slack'))
end

local function in_doubt(time, last, slack)
  return time < last - 1000 or time > last + slack
end

local function note_clock(last, offset, slack)
  redis.call('HSET', key('held'), 'clock', last, 'offset', offset, 'slack', slack)
end

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

local function claim_fields(id, ...)
  return redis.call('HMGET', key('claim', id), ...)
end

local function token_of(id)
  -- The longest token has 2,048 characters, of up to four bytes; the input behind it may have 1 MiB.
  return string.match(redis.call('GETRANGE', key('task', id), 0, 8191), '^[^\n]*')
end

-- At maxmemory Redis refuses a script whose first write may take memory, and refuses no later write
-- of one whose first takes none (Redis 6.2, 7 and Valkey 9 do so). A script that keeps tokens alive or
-- brings claims to their end removes something first, or calls this: a write that changes nothing.
-- Only so can a full store drain.
local function run_at_maxmemory()
  redis.call('PERSIST', root)
end

-- A store without a stamp gets one; for scripts that must not begin with it.
local function stamp()
  redis.call('SET', root, schema, 'NX')
end

-- The error of a store that has another schema than this script; nil: it has this one. A store
-- without a stamp that is in use was written before there were any, with the layout of schema 1. The
-- first that comes to an unused one stamps it; one of another schema becomes its own once no claim is
-- in flight and no process of the other version is alive.
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

-- When it was claimed (Unix ms); as long as it is in flight.
local function claimed_ms(id, activity)
  return redis.call('ZSCORE', key('claims', activity), id)
end
