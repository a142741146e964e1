-- sweep: a step through `meetings`. Forgets names whose record has expired, our notes of them too,
-- and notes where the others run, for those recorded by another program (Scalelite).
--
-- KEYS[1]  key prefix
-- ARGV     1 cursor ('0' at first)   2 how many at about (default 500)
--          3 '1': drop the records of meetings whose server has left the pool, too
-- Returns  {next cursor ('0': done), forgotten, noted, dropped}
-- Repeat   changes nothing more.

local P, call = KEYS[1] or '', redis.call

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

local page = call('SSCAN', P .. 'meetings', ARGV[1] or '0', 'COUNT', ARGV[2] or '500')
local forgotten, noted, dropped, now = 0, 0, 0, string.format('%.0f', clock())
local servers = {}
local function is_server(id)
  if servers[id] == nil then servers[id] = call('EXISTS', P .. 'server:' .. id) == 1 end
  return servers[id]
end
for _, m in ipairs(page[2]) do
  local server_id = call('HGET', P .. 'meeting:' .. m, 'server_id')
  if not server_id then
    call('SREM', P .. 'meetings', m)
    call('DEL', P .. 'sl:meeting:' .. m)
    forgotten = forgotten + 1
  elseif is_server(server_id) then
    noted = noted + call('ZADD', P .. 'sl:server_meetings:' .. server_id, 'NX', now, m)
  elseif ARGV[3] == '1' then
    drop_meeting(m, server_id, call('HGET', P .. 'meeting:' .. m, 'voice_bridge'))
    dropped = dropped + 1
  end
end
return { page[1], tostring(forgotten), tostring(noted), tostring(dropped) }
