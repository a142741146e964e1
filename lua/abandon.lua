-- abandon: gives a server up that has been offline for OFFLINE_GRACE, counted from when the brake was
-- released if that was later. Its meetings are released, so
-- that whoever comes next gets a new meeting elsewhere. Should it come back with them, the poll
-- takes those up again that run nowhere else.
--
-- KEYS[1]  key prefix
-- ARGV     1 server id   2 OFFLINE_GRACE, ms   3 the poller's fence ('' = none)
-- Returns  {abandoned, meeting id, …}; or {waiting}, {online}, {braked}, {fenced}, {unknown}: nothing
--          changed
-- Repeat   abandons what was recorded there since.
-- Cost     O(meetings of that server)

local P, call = KEYS[1] or '', redis.call
local id, grace, fence = ARGV[1] or '', tonumber(ARGV[2] or '') or 120000, ARGV[3] or ''

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
-- lib: meeting
-- What a meeting counts towards the load of its server: its people, at least what it reserved, and
-- what LOAD_ACCOUNTING=increment has counted beyond.
local function meeting_units(m)
  local v = call('HMGET', P .. 'sl:meeting:' .. m, 'users', 'reserved', 'extra')
  local users, reserved = tonumber(v[1]) or 0, tonumber(v[2]) or 0
  return (users > reserved and users or reserved) + (tonumber(v[3]) or 0)
end

-- Drops a meeting's records and gives its voice bridge back. The load is the caller's business.
local function drop_meeting(m, server_id, bridge)
  if bridge and bridge ~= '' and call('HGET', P .. 'voice_bridges', bridge) == m then
    call('HDEL', P .. 'voice_bridges', bridge)
  end
  call('DEL', P .. 'meeting:' .. m, P .. 'sl:meeting:' .. m)
  call('SREM', P .. 'meetings', m)
  if server_id then call('ZREM', P .. 'sl:server_meetings:' .. server_id, m) end
end
-- lib end
-- lib: clock
-- Milliseconds since 1970 by Redis' own clock: one clock for all replicas.
local function clock()
  local t = call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
-- lib end

local s = read_server(id)
if not s then return { 'unknown' } end
if fence ~= '' and call('GET', P .. 'sl:poll_fence') ~= fence then return { 'fenced' } end
if s.online then return { 'online' } end
if call('EXISTS', P .. 'sl:brake') == 1 then return { 'braked' } end
local since = tonumber(call('HGET', P .. 'sl:server:' .. id, 'offline_since') or '')
if not since then return { 'waiting' } end
since = math.max(since, tonumber(call('GET', P .. 'sl:brake_off') or '') or 0)
if clock() - since < grace then return { 'waiting' } end
call('HSET', P .. 'sl:server:' .. id, 'lost', '1')
call('SREM', P .. 'sl:suspects', id)
local answer = { 'abandoned' }
for _, m in ipairs(call('ZRANGE', P .. 'sl:server_meetings:' .. id, 0, -1)) do
  local record = call('HMGET', P .. 'meeting:' .. m, 'server_id', 'voice_bridge')
  if record[1] == id then
    drop_meeting(m, id, record[2])
    answer[#answer + 1] = m
  end
end
call('DEL', P .. 'sl:server_meetings:' .. id)
return answer
