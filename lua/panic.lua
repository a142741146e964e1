-- panic: disables a server and releases all of its meetings, so that whoever joins next is
-- directed to a new meeting elsewhere.
--
-- KEYS[1]  key prefix
-- ARGV     1 server id   2 '1': keep the server's state
-- Returns  {panicked, url, secret, meeting id, moderator password, meeting id, …} or {unknown}
-- Repeat   releases nothing more.
-- Cost     O(all meetings)

local P, call = KEYS[1] or '', redis.call
local id, keep_state = ARGV[1] or '', ARGV[2] == '1'

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
-- lib: released
-- Notes that a meeting was released from a server, which may list it for a while yet: a poll must
-- not take it for one that was lost. apply_poll forgets it once the server does not list it.
local function note_released(m, server_id, now)
  call('ZADD', P .. 'sl:released:' .. server_id, string.format('%.0f', now), m)
  call('EXPIRE', P .. 'sl:released:' .. server_id, 86400)
end
-- lib end
-- lib: meetings_of
-- Every meeting whose record names this server: walks all of `meetings`, so for rare commands only.
local function meetings_of(server_id)
  local found = {}
  for _, m in ipairs(call('SMEMBERS', P .. 'meetings')) do
    local v = call('HMGET', P .. 'meeting:' .. m, 'server_id', 'voice_bridge', 'moderator_pw')
    if v[1] == server_id then
      found[#found + 1] = { id = m, bridge = v[2] or '', moderator_pw = v[3] or '' }
    end
  end
  return found
end
-- lib end

local s = read_server(id)
if not s then return { 'unknown' } end
local answer = { 'panicked', s.url, s.secret }
for _, m in ipairs(meetings_of(id)) do
  drop_meeting(m.id, id, m.bridge)
  note_released(m.id, id, clock())
  answer[#answer + 1] = m.id
  answer[#answer + 1] = m.moderator_pw
end
call('DEL', P .. 'sl:server_meetings:' .. id)
if not keep_state then
  s.state = 'disabled'
  call('HSET', P .. 'server:' .. id, 'state', 'disabled')
  call('SREM', P .. 'server_enabled', id)
end
set_load(id, s, 0)
call('HSET', P .. 'server:' .. id, 'meetings', 0, 'users', 0, 'largest_meeting', 0, 'videos', 0)
call('HDEL', P .. 'sl:index', 'built')
return answer
