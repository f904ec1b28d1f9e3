"""The transitions of the Redis backend, one Lua script each: what a script does, nobody sees half done.

KEYS[1] is an owner's base key, `<prefix>:{<owner>}`; its hash tag puts everything below in one cluster slot:

* `…:t:<id>`   hash of a task: `d` data, `v` version, `w` the write that put it there; has the task's expiry
* `…:all`      ids by creation (ms)
* `…:live`     ids that count towards the quota, by expiry (ms, or +inf)
* `…:ends`     ids that expire, by expiry
* `…:leases`   ids with a lease, by its version
* `…:c`, `…:c:<id>`  pub/sub channels of the owner and of a task; a message is an id

Redis deletes a task's hash by itself and knows nothing of the sorted sets, so every script that writes first drops
what `…:ends` says has expired, and the sets expire together with the last task in them.
"""

from __future__ import annotations

from typing import Final

_COMMON: Final = """
local base = KEYS[1]
local all, live, ends, leases = base .. ':all', base .. ':live', base .. ':ends', base .. ':leases'

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

local function store(id, data, seq, write, now, expires, counts, lease)
  redis.call('HSET', key(id), 'd', data, 'v', seq, 'w', write)
  if counts == '1' then
    redis.call('ZADD', live, expires == '' and '+inf' or expires, id)
  else
    redis.call('ZREM', live, id)
  end
  if lease == '' then redis.call('ZREM', leases, id) else redis.call('ZADD', leases, lease, id) end
  if expires == '' then
    redis.call('ZREM', ends, id)
    redis.call('PERSIST', key(id))
  else
    redis.call('ZADD', ends, expires, id)
    redis.call('PEXPIRE', key(id), left(expires, now))
  end
  keep_index(now)
  redis.call('PUBLISH', base .. ':c', id)
  redis.call('PUBLISH', base .. ':c:' .. id, id)
end
"""

INSERT: Final = (
    _COMMON
    + """
local id, data, seq, write, now, expires, counts, lease, created, quota = unpack(ARGV)
drop_expired(now)
local there = redis.call('HMGET', key(id), 'd', 'v', 'w')
if there[1] then
  -- The same write again: its first answer was lost on the way.
  if there[3] == write then return {'stored'} end
  return {'conflict', there[1], there[2]}
end
if quota ~= '' and redis.call('ZCOUNT', live, now, '+inf') >= tonumber(quota) then return {'quota'} end
redis.call('ZADD', all, created, id)
store(id, data, seq, write, now, expires, counts, lease)
return {'stored'}
"""
)
"""ARGV: id, data, seq, write, now, expires or "", "1" if it counts, lease version or "", created, quota or ""."""

REPLACE: Final = (
    _COMMON
    + """
local id, data, seq, write, now, expires, counts, lease, expected = unpack(ARGV)
local there = redis.call('HMGET', key(id), 'd', 'v', 'w')
if not there[1] then return {'conflict'} end
if there[2] ~= expected then
  if there[3] == write then return {'stored'} end
  return {'conflict', there[1], there[2]}
end
-- With its memory full, Redis refuses the first write of a script if that may take some, and none after it. A task
-- shall end all the same, and who runs it shall keep it: so the first write is one that takes nothing.
if counts == '0' or #data <= #there[1] + 256 then redis.call('PERSIST', key(id)) end
store(id, data, seq, write, now, expires, counts, lease)
return {'stored'}
"""
)
"""ARGV: as INSERT up to the lease, then the expected seq."""

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
