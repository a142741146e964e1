-- add_server: adds a server to the pool, disabled, and offline until a poll finds it online.
--
-- KEYS[1]  key prefix
-- ARGV     1 server           server id
--          2 url              URL of its API
--          3 secret           its shared secret
--          4 load_multiplier  number above 0 (default 1.0)
--          5 tag              tag ('' = none)
-- Returns  added, or exists (nothing changed)
-- Keys     writes server:{id}, servers, sl:index
-- Errors   an empty id, URL or secret; a load multiplier that is no number above 0
-- Repeat   returns exists.
-- Cost     O(1)

local P, call = KEYS[1] or '', redis.call
local id, url, secret = ARGV[1], ARGV[2], ARGV[3]
if not secret or id == '' or url == '' or secret == '' then
  return redis.error_reply('ERR add_server: server id, url and secret are needed')
end
local multiplier = ARGV[4]
if not multiplier or multiplier == '' then multiplier = '1.0' end
local number = tonumber(multiplier)
if not number or number <= 0 or number == math.huge then
  return redis.error_reply('ERR add_server: the load multiplier must be a number above 0')
end
if call('EXISTS', P .. 'server:' .. id) == 1 then return 'exists' end
call('HSET', P .. 'server:' .. id, 'url', url, 'secret', secret, 'load_multiplier', multiplier,
  'online', 'false', 'state', 'disabled')
if ARGV[5] and ARGV[5] ~= '' then call('HSET', P .. 'server:' .. id, 'tag', ARGV[5]) end
call('SADD', P .. 'servers', id)
call('HDEL', P .. 'sl:index', 'built')
return 'added'
