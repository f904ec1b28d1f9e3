"""The transitions of the Redis backend, one Lua script each: what a script does, nobody sees half done.

KEYS[1] is an owner's base key, `<prefix>:{<owner>}`; its hash tag puts everything below in one cluster slot:

* `…:t:<id>`   hash of a task: `d` data, `v` version, `w` the write that put it there; has the task's expiry
* `…:all`      ids by creation (ms)
* `…:live`     ids that count towards the quota, by expiry (ms, or +inf)
* `…:ends`     ids that expire, by expiry
* `…:leases`   ids with a lease, by its version
* `…:known`    there while the owner was announced a moment ago, which scripts ask for before they store a lease
* `…:c`, `…:c:<id>`  pub/sub channels of the owner and of a task; a message is an id

Redis deletes a task's hash by itself and knows nothing of the sorted sets, so every script that writes first drops
what `…:ends` says has expired, and the sets expire together with the last task in them. Each write of a task puts it
into all of its sets again, whatever became of them.

`<prefix>:leasing`, in a slot of its own, has the base keys of the owners that may have leases, by when they were
announced (s, by the clock of Redis), and a mark that says whether it is complete: see `redis_healing`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def ms(moment: datetime) -> int:
    """A moment as scripts take it."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


_COMMON: Final = """
local base = KEYS[1]
local all, live, ends, leases = base .. ':all', base .. ':live', base .. ':ends', base .. ':leases'
local known = base .. ':known'

local function key(id) return base .. ':t:' .. id end

local function forget(id)
  for _, index in ipairs({all, live, ends, leases}) do redis.call('ZREM', index, id) end
end

local function drop_expired(now)
  local gone = redis.call('ZRANGEBYSCORE', ends, '-inf', '(' .. now, 'LIMIT', 0, 200)
  for _, id in ipairs(gone) do
    redis.call('UNLINK', key(id))
    forget(id)
  end
  return #gone
end

-- Time left is counted from the writer's clock to the writer's expiry, so it is right on whatever clock Redis has.
-- What is on top leaves it to readers to say when a task is gone, whose clocks may be behind.
local function left(expires, now) return string.format('%.0f', math.max(0, expires - now) + 7000) end

local function keep_index(now)
  local last = redis.call('ZRANGE', ends, -1, -1, 'WITHSCORES')[2]
  local forever = not last or redis.call('ZCARD', all) > redis.call('ZCARD', ends)
  for _, index in ipairs({all, live, ends, leases}) do
    if forever then redis.call('PERSIST', index) else redis.call('PEXPIRE', index, left(last, now)) end
  end
end

local function unknown(lease, announced)
  return lease ~= '' and announced == '' and redis.call('EXISTS', known) == 0
end

local function list(id, created, expires, counts, lease)
  redis.call('ZADD', all, created, id)
  if counts == '1' then
    redis.call('ZADD', live, expires == '' and '+inf' or expires, id)
  else
    redis.call('ZREM', live, id)
  end
  if lease == '' then redis.call('ZREM', leases, id) else redis.call('ZADD', leases, lease, id) end
  if expires == '' then redis.call('ZREM', ends, id) else redis.call('ZADD', ends, expires, id) end
end

local function store(id, data, seq, write, now, expires, counts, lease, created, announced)
  redis.call('HSET', key(id), 'd', data, 'v', seq, 'w', write)
  list(id, created, expires, counts, lease)
  if expires == '' then
    redis.call('PERSIST', key(id))
  else
    redis.call('PEXPIRE', key(id), left(expires, now))
  end
  if announced ~= '' then redis.call('SET', known, '1', 'PX', announced) end
  keep_index(now)
  redis.call('PUBLISH', base .. ':c', id)
  redis.call('PUBLISH', base .. ':c:' .. id, id)
end
"""

INSERT: Final = (
    _COMMON
    + """
local id, data, seq, write, now, expires, counts, lease, created, announced, quota = unpack(ARGV)
if unknown(lease, announced) then return {'unknown'} end
drop_expired(now)
local there = redis.call('HMGET', key(id), 'd', 'v', 'w')
if there[1] then
  -- The same write again: its first answer was lost on the way.
  if there[3] == write then return {'stored'} end
  return {'conflict', there[1], there[2]}
end
if quota ~= '' and redis.call('ZCOUNT', live, now, '+inf') >= tonumber(quota) then return {'quota'} end
store(id, data, seq, write, now, expires, counts, lease, created, announced)
return {'stored'}
"""
)
"""ARGV: id, data, seq, write, now, expires or "", "1" if it counts, lease version or "", created, for how long the
owner is known (ms) because it was just announced or "", quota or ""."""

REPLACE: Final = (
    _COMMON
    + """
local id, data, seq, write, now, expires, counts, lease, created, announced, expected = unpack(ARGV)
if unknown(lease, announced) then return {'unknown'} end
local there = redis.call('HMGET', key(id), 'd', 'v', 'w')
if not there[1] then return {'conflict'} end
if there[2] ~= expected then
  if there[3] == write then return {'stored'} end
  return {'conflict', there[1], there[2]}
end
-- With its memory full, Redis refuses the first write of a script if that may take some, and none after it. A task
-- shall end all the same, and who runs it shall keep it: so the first write is one that takes nothing.
if counts == '0' or #data <= #there[1] + 256 then redis.call('PERSIST', key(id)) end
store(id, data, seq, write, now, expires, counts, lease, created, announced)
return {'stored'}
"""
)
"""ARGV: as INSERT, with the expected seq instead of the quota."""

DELETE: Final = (
    _COMMON
    + """
local id = ARGV[1]
local existed = redis.call('DEL', key(id))
forget(id)
if existed == 1 then
  redis.call('PUBLISH', base .. ':c', id)
  redis.call('PUBLISH', base .. ':c:' .. id, id)
end
return existed
"""
)
"""ARGV: id."""

PAGE: Final = (
    _COMMON
    + """
local now, limit, created, after = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]

-- Redis orders members by bytes; Lua's own < would follow the server's locale.
local function less(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = a:byte(i), b:byte(i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

drop_expired(now)
local start = 0
if created ~= '' then
  start = redis.call('ZCOUNT', all, '(' .. created, '+inf')
  local stop = start + redis.call('ZCOUNT', all, created, created)
  while start < stop do
    local middle = math.floor((start + stop) / 2)
    if less(redis.call('ZREVRANGE', all, middle, middle)[1], after) then stop = middle else start = middle + 1 end
  end
end

local found, orphans = {}, {}
while #found < 2 * limit do
  local ids = redis.call('ZREVRANGE', all, start, start + limit - 1)
  if #ids == 0 then break end
  for _, id in ipairs(ids) do
    local there = redis.call('HMGET', key(id), 'd', 'v')
    if there[1] then
      local expires = redis.call('ZSCORE', ends, id)
      if #found < 2 * limit and not (expires and tonumber(expires) < tonumber(now)) then
        found[#found + 1] = there[1]
        found[#found + 1] = there[2]
      end
    else
      orphans[#orphans + 1] = id
    end
  end
  start = start + #ids
end
for _, id in ipairs(orphans) do forget(id) end
return found
"""
)
"""ARGV: now, limit, created and id of the position or "" "". Answers data and seq of each record in turn."""

LEASED: Final = (
    _COMMON
    + """
local id = ARGV[1]
local there = redis.call('HMGET', key(id), 'd', 'v')
if not there[1] then
  forget(id)
  return {}
end
return redis.call('ZSCORE', leases, id) and there or {}
"""
)
"""ARGV: id. Answers data and seq of a task with a lease; forgets what is left of one that is gone."""

ANNOUNCE: Final = """
-- First what is allowed when the memory is full: see REPLACE.
redis.call('ZREM', KEYS[1], '')
local now = redis.call('TIME')[1]
for _, base in ipairs(ARGV) do redis.call('ZADD', KEYS[1], now, base) end
"""
"""KEYS: the list of owners. ARGV: base keys."""

ANNOUNCED: Final = "return {redis.call('TIME')[1], redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')}"
"""KEYS: the list of owners. Answers the time (s), then base key and time of each in turn."""

FORGET: Final = """
local announced = redis.call('ZSCORE', KEYS[1], ARGV[1])
if announced and redis.call('TIME')[1] - announced > tonumber(ARGV[2]) then redis.call('ZREM', KEYS[1], ARGV[1]) end
"""
"""KEYS: the list of owners. ARGV: a base key, and how long ago (s) it must have been announced at least."""

HEALED: Final = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
for _, mark in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '+inf', '+inf')) do redis.call('ZREM', KEYS[1], mark) end
redis.call('ZADD', KEYS[1], '+inf', ARGV[2])
return 1
"""
"""KEYS: the list of owners, and the turn to heal. ARGV: whose turn it was, and the mark of a complete list."""

INCOMPLETE: Final = (
    _COMMON
    + """
-- What a set should have is in the record, which need not be parsed for it: to name one too many does no harm.
local function says(data, text) return string.find(data, text, 1, true) end

local found = {}
for _, id in ipairs(ARGV) do
  local there = redis.call('HMGET', key(id), 'd', 'v')
  local data = there[1]
  if data and (
    not redis.call('ZSCORE', all, id)
    or says(data, '"lease":{') and not redis.call('ZSCORE', leases, id)
    or says(data, '"expiresAt":"') and not redis.call('ZSCORE', ends, id)
    or (says(data, '"working"') or says(data, '"input_required"')) and not redis.call('ZSCORE', live, id)
  ) then
    found[#found + 1] = data
    found[#found + 1] = there[2]
  end
end
return found
"""
)
"""ARGV: ids. Answers data and seq of those that some set may lack, in turn."""

LIST: Final = (
    _COMMON
    + """
local now = ARGV[1]
for i = 2, #ARGV, 6 do
  local id, seq, created, expires, counts, lease = unpack(ARGV, i, i + 5)
  if redis.call('HGET', key(id), 'v') == seq then list(id, created, expires, counts, lease) end
end
keep_index(now)
"""
)
"""ARGV: now, then id, seq, created, expires or "", "1" if it counts, and lease version or "" of each. One that has been
written since is in its sets already."""

GHOSTS: Final = (
    _COMMON
    + """
local gone = 0
for _, id in ipairs(redis.call('ZRANGE', live, ARGV[1], ARGV[2])) do
  if redis.call('EXISTS', key(id)) == 0 then
    forget(id)
    gone = gone + 1
  end
end
return {redis.call('ZCARD', live), gone}
"""
)
"""ARGV: first and last rank among those that count. Answers how many count, and how many did that are not there."""
