-- remove_server: takes a server out of the pool.
--
-- KEYS[1]  key prefix
-- ARGV     1 server id   2 '1': also when meetings are recorded there; they are released
-- Returns  {removed, meetings released}, {busy, meetings recorded there} (nothing changed),
--          {unknown}
-- Repeat   answers unknown.
-- Cost     O(all meetings)

local P, call = KEYS[1] or '', redis.call
local id, force = ARGV[1] or '', ARGV[2] == '1'

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

local tag = call('HMGET', P .. 'server:' .. id, 'tag', 'url')
if not tag[2] and call('SISMEMBER', P .. 'servers', id) == 0 then return { 'unknown' } end
local meetings = meetings_of(id)
if #meetings > 0 and not force then return { 'busy', tostring(#meetings) } end
for _, m in ipairs(meetings) do drop_meeting(m.id, id, m.bridge) end
call('DEL', P .. 'server:' .. id, P .. 'sl:server:' .. id, P .. 'sl:server_meetings:' .. id,
  P .. 'sl:released:' .. id)
call('ZREM', P .. 'sl:held', id)
call('SREM', P .. 'sl:suspects', id)
call('SREM', P .. 'servers', id)
call('SREM', P .. 'server_enabled', id)
call('ZREM', P .. 'server_load', id)
call('ZREM', P .. 'cordoned_server_load', id)
call('ZREM', P .. 'sl:tag_load:' .. (tag[1] or ''), id)
call('HDEL', P .. 'sl:index', 'built')
return { 'removed', tostring(#meetings) }
