-- update_server: changes some of url, secret, load_multiplier and tag; the load follows at once.
--
-- KEYS[1]  key prefix
-- ARGV     1 server   server id
--          2… fields  pairs: field, value. An empty tag removes the tag
-- Returns  updated, unknown (no such server), or {url_taken, id of the server that has this URL}
-- Keys     writes server:{id}, server_load, cordoned_server_load, sl:tag_load:{tag}, sl:tags, sl:index,
--          sl:server_urls; reads servers, server_enabled
-- Errors   another field; a field without a value; a value that add_server.lua refuses. Then nothing is
--          changed
-- Repeat   changes nothing more.
-- Cost     O(log servers); a new URL O(servers) if another program has added or removed servers

local P, call = KEYS[1] or '', redis.call
local id = ARGV[1] or ''
-- @include check_field, current_load, read_server, set_load, url_owner

local before = read_server(id)
if not before then return 'unknown' end
for i = 2, #ARGV, 2 do
  local field, value = ARGV[i], ARGV[i + 1]
  if not value then return redis.error_reply('ERR update_server: a field without a value: ' .. field) end
  if field ~= 'url' and field ~= 'secret' and field ~= 'load_multiplier' and field ~= 'tag' then
    return redis.error_reply('ERR update_server: no such field: ' .. field)
  end
  local wrong = check_field(field, value)
  if wrong then return redis.error_reply('ERR update_server: ' .. wrong) end
  local owner = field == 'url' and url_owner(value, id)
  if owner then return { 'url_taken', owner } end
end
for i = 2, #ARGV, 2 do
  if ARGV[i] == 'tag' and ARGV[i + 1] == '' then
    call('HDEL', P .. 'server:' .. id, 'tag')
  else
    call('HSET', P .. 'server:' .. id, ARGV[i], ARGV[i + 1])
  end
end
local after = read_server(id)
if url_identity(after.url) ~= url_identity(before.url) then
  call('HDEL', P .. 'sl:server_urls', url_identity(before.url))
  call('HSET', P .. 'sl:server_urls', url_identity(after.url), id)
end
call('ZREM', P .. 'sl:tag_load:' .. before.tag, id)
local load = current_load(id)
if load then set_load(id, after, tonumber(load) * after.multiplier / before.multiplier) end
call('HDEL', P .. 'sl:index', 'built')
return 'updated'
