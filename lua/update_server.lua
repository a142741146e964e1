-- update_server: changes some of url, secret, load_multiplier, tag; the load follows at once.
--
-- KEYS[1]  key prefix
-- ARGV     1 server id, then pairs: field value. An empty tag takes the tag away.
-- Returns  updated, or unknown (no such server)
-- Repeat   changes nothing more.

local P, call = KEYS[1] or '', redis.call
local id = ARGV[1] or ''

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

local before = read_server(id)
if not before then return 'unknown' end
for i = 2, #ARGV, 2 do
  local field, value = ARGV[i], ARGV[i + 1]
  if not value then return redis.error_reply('ERR update_server: a field without a value: ' .. field) end
  local number = tonumber(value)
  if field == 'load_multiplier' and (not number or number <= 0 or number == math.huge) then
    return redis.error_reply('ERR update_server: the load multiplier must be a number above 0')
  end
  if (field == 'url' or field == 'secret') and value == '' then
    return redis.error_reply('ERR update_server: the ' .. field .. ' must not be empty')
  end
  if field ~= 'url' and field ~= 'secret' and field ~= 'load_multiplier' and field ~= 'tag' then
    return redis.error_reply('ERR update_server: no such field: ' .. field)
  end
end
for i = 2, #ARGV, 2 do
  if ARGV[i] == 'tag' and ARGV[i + 1] == '' then
    call('HDEL', P .. 'server:' .. id, 'tag')
  else
    call('HSET', P .. 'server:' .. id, ARGV[i], ARGV[i + 1])
  end
end
local after = read_server(id)
call('ZREM', P .. 'sl:tag_load:' .. before.tag, id)
local load = call('ZSCORE', P .. 'server_load', id) or call('ZSCORE', P .. 'cordoned_server_load', id)
if load then set_load(id, after, tonumber(load) * after.multiplier / before.multiplier) end
call('HDEL', P .. 'sl:index', 'built')
return 'updated'
