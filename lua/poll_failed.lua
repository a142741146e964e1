-- poll_failed: a server did not answer a poll. After so many failures in a row it is offline: no
-- new meetings, and joins are told so. Its meetings stay recorded.
--
-- KEYS[1]  key prefix
-- ARGV     1 server id   2 failures in a row (SERVER_UNHEALTHY_THRESHOLD, default 2)
--          3 when the question was sent: ms by Redis' clock (absent or 0: now)
--          4 the poller's fence ('' or absent: none)
-- Returns  {online | offline, state, failures in a row, went offline now: 1 or 0}; {unknown}, or
--          {fenced} or {stale}: too late, nothing written
-- Repeat   counts one failure more.
-- Rule     while somebody holds the lease on polling, only that poller takes a server offline: a
--          failure that another saw may be of the other's own network

local P, call = KEYS[1] or '', redis.call
local id, threshold = ARGV[1] or '', tonumber(ARGV[2] or '') or 2
local started, fence = tonumber(ARGV[3] or '') or 0, ARGV[4] or ''

-- lib: server
-- A server's record, or nil. Records of old Scalelites lack state: then server_enabled decides.
local function read_server(id)
  local v = call('HMGET', P .. 'server:' .. id,
    'url', 'secret', 'tag', 'state', 'online', 'load_multiplier')
  if not v[1] then return nil end
  local state = v[4]
  if not state or state == '' then
    state = call('SISMEMBER', P .. 'server_enabled', id) == 1 and 'enabled' or 'disabled'
  end
  local multiplier = tonumber(v[6])
  if not multiplier or multiplier <= 0 then multiplier = 1 end
  return { url = v[1], secret = v[2] or '', tag = v[3] or '', state = state,
    online = v[5] == 'true', multiplier = multiplier }
end
-- lib end
-- lib: clock
-- Milliseconds since 1970 by Redis' own clock: one clock for all replicas.
local function clock()
  local t = call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
-- lib end
-- lib: overtaken
-- Whether a poll's answer comes too late to be written: its poller has lost the lease meanwhile
-- (`fenced`), or the server was asked again later and that answer stands (`stale`), or this very one
-- was written before. `started` 0 is now. A poll without a fence is an operator's, or one that a
-- failed request has caused.
local function overtaken(id, fence, started, now)
  if fence ~= '' and call('GET', P .. 'sl:poll_fence') ~= fence then return 'fenced' end
  if started == 0 then return nil end
  local asked = tonumber(call('HGET', P .. 'sl:server:' .. id, 'asked') or '') or 0
  -- In the future it stands only where a clock went back.
  if started <= asked and asked <= now then return 'stale' end
  return nil
end
-- lib end
-- lib: load
-- A server's load stands in server_load (candidates: enabled and online) or in
-- cordoned_server_load, and for candidates once more in sl:tag_load:{tag}, which picks by tag
-- (where there are tags at all: see reindex).
local function set_load(id, s, load)
  local candidate = s.online and s.state == 'enabled'
  local cordoned = s.online and s.state == 'cordoned'
  if candidate then
    call('ZADD', P .. 'server_load', load, id)
    call('ZADD', P .. 'sl:tag_load:' .. s.tag, load, id)
    call('SADD', P .. 'sl:tags', s.tag)
  else
    call('ZREM', P .. 'server_load', id)
    call('ZREM', P .. 'sl:tag_load:' .. s.tag, id)
  end
  if cordoned then
    call('ZADD', P .. 'cordoned_server_load', load, id)
  else
    call('ZREM', P .. 'cordoned_server_load', id)
  end
end

-- Adds to wherever the load stands; never below zero, and no residue of floating point. A tag of
-- false says that there is no index to keep.
local function add_load(id, tag, delta)
  local set = P .. 'server_load'
  local new = call('ZADD', set, 'XX', 'INCR', delta, id)
  local candidate = new
  if not new then
    set = P .. 'cordoned_server_load'
    new = call('ZADD', set, 'XX', 'INCR', delta, id)
    if not new then return '' end
  end
  if tonumber(new) < 1e-9 then
    new = '0'
    call('ZADD', set, new, id)
  end
  if candidate and tag then call('ZADD', P .. 'sl:tag_load:' .. tag, 'XX', new, id) end
  return new
end
-- lib end

local s = read_server(id)
if not s then return { 'unknown' } end
local now, own = clock(), P .. 'sl:server:' .. id
local late = overtaken(id, fence, started, now)
if late then return { late } end
if started == 0 then started = now end
local streak = tonumber(call('HGET', own, 'unhealthy') or '') or 0
if fence ~= '' or streak < threshold - 1 or call('EXISTS', P .. 'sl:poll_lease') == 0 then
  streak = call('HINCRBY', own, 'unhealthy', 1)
end
-- One that was given up waits for the rounds.
if call('HGET', own, 'lost') ~= '1' then call('SADD', P .. 'sl:suspects', id) end
-- It is not polled for a failed request again within a second.
call('HSET', own, 'healthy', 0, 'asked', string.format('%.0f', started),
  'probe_from', string.format('%.0f', now + 1000))
call('HDEL', own, 'probe_until')
local online_before = s.online
if streak >= threshold and s.online then
  s.online = false
  call('HSET', P .. 'server:' .. id, 'online', 'false')
end
if not s.online then
  set_load(id, s, 0)
  call('HSETNX', own, 'offline_since', string.format('%.0f', now))
end
return { s.online and 'online' or 'offline', s.state, tostring(streak),
  (online_before and not s.online) and '1' or '0' }
