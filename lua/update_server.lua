-- update_server: changes some of url, secret, load_multiplier and tag; the load follows at once.
--
-- KEYS[1]  key prefix
-- ARGV     1 server   server id
--          2… fields  pairs: field, value. An empty tag removes the tag
-- Returns  updated, or unknown (no such server)
-- Keys     writes server:{id}, server_load, cordoned_server_load, sl:tag_load:{tag}, sl:tags, sl:index; reads
--          server_enabled
-- Errors   another field; a field without a value; an empty URL or secret; a load multiplier that is no
--          number above 0. Then nothing is changed
-- Repeat   changes nothing more.
-- Cost     O(log servers)

local P, call = KEYS[1] or '', redis.call
local id = ARGV[1] or ''
-- @include current_load, read_server, set_load

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
local load = current_load(id)
if load then set_load(id, after, tonumber(load) * after.multiplier / before.multiplier) end
call('HDEL', P .. 'sl:index', 'built')
return 'updated'
