-- add_server: adds a server to the pool, disabled, and offline until a poll finds it online.
--
-- KEYS[1]  key prefix
-- ARGV     1 server           server id
--          2 url              URL of its API
--          3 secret           its shared secret
--          4 load_multiplier  number above 0 (default 1.0)
--          5 tag              tag ('' = none)
-- Returns  added; same: the id is there already, with these values; exists: with others; or {url_taken,
--          id of the server that has this URL, '1' if its other values are these}. Only added changes anything
-- Keys     writes server:{id}, servers, sl:index, sl:server_urls, sl:unpolled, sl:rebuild; reads server_enabled
-- Errors   an id, URL or secret that is missing or empty; an id with other characters than letters, digits
--          and . _ - : [ ]; a URL that is not http(s), or has credentials, a query or a fragment; a load
--          multiplier that is no number above 0; a tag with ; or !, or `none`; spaces or control characters
-- Repeat   returns same.
-- Rule     until its first poll its meetings are unknown: creates of unknown ids ask it
-- Cost     O(1); O(servers) if another program has added or removed servers

local P, call = KEYS[1] or '', redis.call
local id, url, secret, tag = ARGV[1], ARGV[2], ARGV[3], ARGV[5] or ''
if not secret or id == '' or url == '' or secret == '' then
  return redis.error_reply('ERR add_server: server id, url and secret are needed')
end
local multiplier = ARGV[4]
if not multiplier or multiplier == '' then multiplier = '1.0' end
-- @include begin_rebuild, check_field, clock, expect_poll, read_server, url_owner

local wrong = check_field('id', id) or check_field('url', url) or check_field('secret', secret)
  or check_field('load_multiplier', multiplier) or check_field('tag', tag)
if wrong then return redis.error_reply('ERR add_server: ' .. wrong) end

-- Whether a server has these values; its URL is compared before.
local function is_same(s)
  return s.secret == secret and s.tag == tag and s.multiplier == tonumber(multiplier)
end

local before = read_server(id)
if before then
  return url_identity(before.url) == url_identity(url) and is_same(before) and 'same' or 'exists'
end
local owner = url_owner(url, id)
if owner then return { 'url_taken', owner, is_same(read_server(owner)) and '1' or '0' } end
call('HSET', P .. 'server:' .. id, 'url', url, 'secret', secret, 'load_multiplier', multiplier,
  'online', 'false', 'state', 'disabled')
if tag ~= '' then call('HSET', P .. 'server:' .. id, 'tag', tag) end
call('HSET', P .. 'sl:server_urls', url_identity(url), id)
local now = clock()
expect_poll(id, now)
if call('ZSCORE', P .. 'sl:unpolled', '') then expect_poll('', now) end
if call('SADD', P .. 'servers', id) == 1 and call('SCARD', P .. 'servers') == 1
  or call('EXISTS', P .. 'sl:rebuild') == 1 then
  begin_rebuild()
end
call('HDEL', P .. 'sl:index', 'built')
return 'added'
