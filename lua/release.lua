-- release: a meeting has ended, or never came to be. Drops its record, gives its voice bridge
-- back, takes its load off its server.
--
-- KEYS[1]  key prefix
-- ARGV     1 meeting id
--          2 only if it is recorded on this server ('' or absent: any)
--          3 only if its generation is still this one ('' or absent: any), so that a create which
--            came in between keeps its meeting
--          4 '1': a create of it has failed. Only if every create of this record has, and nobody has
--            joined, and no poll has seen it
-- Returns  released, unknown (no such record), kept (on another server, or created again)
-- Repeat   the second run answers unknown and changes nothing.
-- Cost     O(log servers + log meetings of that server)

local P, call = KEYS[1] or '', redis.call
local id, only_server, only_generation = ARGV[1] or '', ARGV[2] or '', ARGV[3] or ''

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
-- lib: released
-- Notes that a meeting was released from a server, which may list it for a while yet: a poll must
-- not take it for one that was lost. apply_poll forgets it once the server does not list it.
local function note_released(m, server_id, now)
  call('ZADD', P .. 'sl:released:' .. server_id, string.format('%.0f', now), m)
  call('EXPIRE', P .. 'sl:released:' .. server_id, 86400)
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

local record = call('HMGET', P .. 'meeting:' .. id, 'server_id', 'voice_bridge')
if not record[1] then
  call('SREM', P .. 'meetings', id)
  return 'unknown'
end
if only_server ~= '' and record[1] ~= only_server then return 'kept' end
if only_generation ~= '' and only_generation ~= '0'
  and call('HGET', P .. 'sl:meeting:' .. id, 'creates') ~= only_generation then
  return 'kept'
end
if ARGV[4] == '1' then
  local own = P .. 'sl:meeting:' .. id
  local notes = call('HMGET', own, 'creates', 'users', 'seen')
  local failed = call('HINCRBY', own, 'failed', 1)
  if failed < (tonumber(notes[1]) or 1) or notes[2] ~= '0' or notes[3] then return 'kept' end
end
local s = read_server(record[1])
if s then
  add_load(record[1], s.tag, -meeting_units(id) * s.multiplier)
  note_released(id, record[1], clock())
end
drop_meeting(id, record[1], record[2])
return 'released'
