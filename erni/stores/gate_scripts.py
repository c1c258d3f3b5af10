"""What the gates ask of Redis: scripts, because each is one decision over the state all workers share. Knows keys and
times in milliseconds of Redis's own clock, no engine and no error.

Keys of an account: ``calls`` by when they began, those of the last minute; ``turns``, tickets by when they were told to
come back; ``leases``, calls under way by when they count no more unless renewed; ``account``, a hash of
``closed_until``, ``refusals`` (in a row, without a time) and ``hold_ms`` (how long a call takes, on average). Of an
engine: ``breaker``, a hash of ``failures`` (in a row), ``open_until``, and the call that tries it again, ``probe``,
until ``probe_until``.
"""

from __future__ import annotations

from typing import Final

KEPT_MS: Final = 600_000
"""Whoever comes back later than this after his turn has to wait for a new one."""
FIRST_HOLD_MS: Final = 2_000
"""How long a call is thought to take before one was seen."""
LONGEST_GUESS_MS: Final = 5_000
"""Longest wait that rests on how long calls took: places may become free sooner, and would stay empty."""
PACE_MS: Final = 250
"""Between two turns after an account was closed, where its rate is not known."""
LONGEST_PAUSE_MS: Final = 60_000
"""Longest pause after refusals that do not say how long."""
REMEMBERED_MS: Final = 24 * 3600 * 1000
"""How long an account nobody calls, or an engine after its rest, is remembered."""

_CLOCK: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

ENTER: Final = (
    _CLOCK
    + f"local KEPT, FIRST_HOLD, LONGEST_GUESS, PACE = {KEPT_MS}, {FIRST_HOLD_MS}, {LONGEST_GUESS_MS}, {PACE_MS}"
    + """
local calls, turns, leases, account, breaker = unpack(KEYS)
local ticket, call = ARGV[1], ARGV[2]
local rate, places = tonumber(ARGV[3]), tonumber(ARGV[4])
local lease, window, late = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])

-- A client whose connection was cut asks again for what it has.
if redis.call('ZSCORE', leases, call) then return {'enter', 0} end

local open_until = tonumber(redis.call('HGET', breaker, 'open_until') or 0)
local probed_until = tonumber(redis.call('HGET', breaker, 'probe_until') or 0)
if open_until > now or (open_until > 0 and probed_until > now) then
  redis.call('ZREM', turns, ticket)
  return {open_until > now and 'resting' or 'probed', math.max(0, open_until - now)}
end

redis.call('ZREMRANGEBYSCORE', calls, '-inf', now - window)
redis.call('ZREMRANGEBYSCORE', leases, '-inf', now)
redis.call('ZREMRANGEBYSCORE', turns, '-inf', now - KEPT)
local turn = tonumber(redis.call('ZSCORE', turns, ticket) or 0)
if turn > now then return {'wait', turn - now} end
redis.call('ZREM', turns, ticket)

local used, held = redis.call('ZCARD', calls), redis.call('ZCARD', leases)
local due = redis.call('ZCOUNT', turns, now - late, now)
local promised = redis.call('ZCOUNT', turns, now - late, '+inf')
local closed_until = tonumber(redis.call('HGET', account, 'closed_until') or 0)
local hold = tonumber(redis.call('HGET', account, 'hold_ms') or FIRST_HOLD)

local function nth_newest(key, n)
  local found = redis.call('ZRANGE', key, -n, -n, 'WITHSCORES')
  return math.max(tonumber(found[2]), key == turns and now or 0)
end

-- Nobody whose turn has come stands behind another; who is new stands behind all who wait.
local function rate_allows()
  local ahead = turn > 0 and 0 or promised
  if rate == 0 or used + ahead < rate then return now end
  if ahead >= rate then return nth_newest(turns, rate) + window end
  return nth_newest(calls, rate - ahead) + window
end

-- A place that is free is kept for those whose turn is now. The rest is a guess from how long calls take.
local function place_allows()
  if places == 0 or held + (turn > 0 and 0 or due) < places then return now end
  local ahead = turn > 0 and redis.call('ZCOUNT', turns, now - late, now + hold) or promised
  return now + math.min(LONGEST_GUESS, math.ceil(hold * (held + ahead - places + 1) / places))
end

local allowed = math.max(rate_allows(), place_allows())
if closed_until > now then
  local pace = rate > 0 and math.ceil(window / rate) or PACE
  allowed = math.max(allowed, closed_until + pace * redis.call('ZCOUNT', turns, closed_until, '+inf'))
end
if allowed > now then
  redis.call('ZADD', turns, allowed, ticket)
  redis.call('PEXPIRE', turns, math.max(redis.call('PTTL', turns), allowed - now + KEPT))
  return {'wait', allowed - now}
end

redis.call('ZADD', calls, now, call)
redis.call('PEXPIRE', calls, window)
redis.call('ZADD', leases, now + lease, call)
redis.call('PEXPIRE', leases, lease)
if open_until > 0 then redis.call('HSET', breaker, 'probe', call, 'probe_until', now + lease) end
return {'enter', 0}
"""
)
"""Keys as above; ticket, call, calls per window, calls at a time (0: no limit), lease, window, and how long a turn that
nobody takes counts. Answers ``enter``; ``wait``, ``resting`` and how long; or ``probed`` while another call tries an
engine that rested."""

RENEW: Final = (
    _CLOCK
    + """
local leases, breaker, call, lease = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2])
redis.call('ZADD', leases, now + lease, call)
redis.call('PEXPIRE', leases, lease)
if redis.call('HGET', breaker, 'probe') == call then redis.call('HSET', breaker, 'probe_until', now + lease) end
"""
)
"""``leases`` and ``breaker``; call, lease."""

LEAVE: Final = (
    _CLOCK
    + f"local LONGEST_PAUSE, REMEMBERED = {LONGEST_PAUSE_MS}, {REMEMBERED_MS}"
    + """
local leases, account, breaker, call, verdict = KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2]
local rest, limit, took = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
redis.call('ZREM', leases, call)
local hold = tonumber(redis.call('HGET', account, 'hold_ms') or took)
redis.call('HSET', account, 'hold_ms', math.ceil(0.8 * hold + 0.2 * took))
redis.call('PEXPIRE', account, REMEMBERED)

local open_until = tonumber(redis.call('HGET', breaker, 'open_until') or 0)
local is_probe = redis.call('HGET', breaker, 'probe') == call
if is_probe then redis.call('HDEL', breaker, 'probe', 'probe_until') end

if verdict == 'works' then
  redis.call('HDEL', account, 'refusals')
  -- A call from before it opened proves nothing; the one that tries the engine again does.
  if is_probe or open_until == 0 then redis.call('DEL', breaker) end
elseif verdict == 'refused' then
  local closed_until = tonumber(redis.call('HGET', account, 'closed_until') or 0)
  local pause = rest
  if pause == 0 and closed_until <= now then
    local refusals = redis.call('HINCRBY', account, 'refusals', 1)
    pause = math.min(LONGEST_PAUSE, 1000 * 2 ^ math.min(refusals - 1, 16))
  end
  redis.call('HSET', account, 'closed_until', math.max(closed_until, now + pause))
elseif verdict == 'out' or verdict == 'barred' then
  local failures = redis.call('HINCRBY', breaker, 'failures', 1)
  local opens = verdict == 'barred' or is_probe or (open_until == 0 and failures >= limit)
  if opens then redis.call('HSET', breaker, 'open_until', math.max(open_until, now + rest)) end
  redis.call('PEXPIRE', breaker, rest + REMEMBERED)
  if opens then return 1 end
end
return 0
"""
)
"""``leases``, ``account`` and ``breaker``; call, verdict (``works``, ``out``, ``barred``, ``refused``, ``none``), the
rest or pause it brings (0: not told), failures that open the breaker, how long the call took. Answers 1 when it opened.
"""
