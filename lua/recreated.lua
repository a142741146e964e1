-- recreated: a server has made a meeting that was recorded already: it had ended there unseen, or a
-- create that was begun before never reached the server. Notes the moderator password that it really
-- has, and counts it as the new meeting that it is.
--
-- KEYS[1]  key prefix
-- ARGV     1 meeting id   2 the server that it is on   3 moderator password ('': as noted)
--          4 reserve: people it counts for until they have come
-- Returns  noted, or kept (no such record, or on another server)
-- Repeat   notes the same.

local P, call = KEYS[1] or '', redis.call
local id, server_id, reserve = ARGV[1] or '', ARGV[2] or '', tonumber(ARGV[4] or '') or 15

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
-- lib: clock
-- Milliseconds since 1970 by Redis' own clock: one clock for all replicas.
local function clock()
  local t = call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
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

local key, own, now = P .. 'meeting:' .. id, P .. 'sl:meeting:' .. id, clock()
if call('HGET', key, 'server_id') ~= server_id then return 'kept' end
if ARGV[3] and ARGV[3] ~= '' then call('HSET', key, 'moderator_pw', ARGV[3]) end
-- Of two creates at the same time the second to be recorded may be the first to be made.
local notes = call('HMGET', own, 'created', 'seen')
if now - (tonumber(notes[1]) or 0) < 60000 and not notes[2] then return 'noted' end
local before, created = meeting_units(id), string.format('%.0f', now)
call('HSET', own, 'created', created, 'reserved', reserve, 'users', 0, 'missed', 0)
call('HDEL', own, 'extra', 'seen')
call('ZADD', P .. 'sl:server_meetings:' .. server_id, created, id)
local s = read_server(server_id)
if s then add_load(server_id, s.tag, (reserve - before) * s.multiplier) end
return 'noted'
