-- join: where a meeting runs, for one person more; counts that person.
--
-- KEYS[1]  key prefix
-- ARGV     1 meeting id
--          2 '1': refuse joins to disabled servers too (DISABLED_REFUSES_JOINS)
--          3 people to count: 1 (default), or -1 to take one back whom the server refused
--          4 '1': everybody weighs, reserved for or not (LOAD_ACCOUNTING=increment)
-- Returns  {outcome, server id, url, secret}:
--          found        go there; the person is counted
--          unavailable  the server is offline, or disabled and refused; nobody counted
--          unknown      no such meeting, or its server has left the pool (outcome alone)
-- Repeat   counts one person more each time; the next poll sets the true number.
-- Cost     O(log servers)

local P, call = KEYS[1] or '', redis.call
local id, refuse_disabled = ARGV[1] or '', ARGV[2] == '1'
local people, increment = tonumber(ARGV[3] or '') or 1, ARGV[4] == '1'

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

local key, own = P .. 'meeting:' .. id, P .. 'sl:meeting:' .. id
local server_id = call('HGET', key, 'server_id')
local server = server_id and call('HMGET', P .. 'server:' .. server_id, 'url', 'secret', 'online',
  'tag', 'load_multiplier', 'state')
if not server or not server[1] then return { 'unknown' } end
local refused = false
if refuse_disabled then
  -- Records of old Scalelites lack state: then server_enabled decides.
  local state = server[6] or ''
  refused = state == 'disabled'
    or (state == '' and call('SISMEMBER', P .. 'server_enabled', server_id) == 0)
end
if server[3] ~= 'true' or refused then
  return { 'unavailable', server_id, server[1], server[2] or '' }
end
local notes = call('HMGET', own, 'users', 'reserved')
local before, reserved = tonumber(notes[1]) or 0, tonumber(notes[2]) or 0
local users = math.max(before + people, 0)
call('HSET', own, 'users', users)
if not notes[1] then
  local ttl = call('TTL', key)
  if ttl > 0 then call('EXPIRE', own, ttl) end
end
-- Only people beyond the reservation weigh: the reserved ones were counted by the create.
local more = math.max(users, reserved) - math.max(before, reserved)
if increment and more ~= people then
  call('HINCRBY', own, 'extra', people - more)
  more = people
end
if more ~= 0 then
  local multiplier = tonumber(server[5] or '')
  if not multiplier or multiplier <= 0 then multiplier = 1 end
  add_load(server_id, server[4] or '', more * multiplier)
end
return { 'found', server_id, server[1], server[2] or '' }
