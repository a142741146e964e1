-- remove_server: removes a server from the pool.
--
-- KEYS[1]  key prefix
-- ARGV     1 server  server id
--          2 force   '1': even if meetings are recorded there; they are released
-- Returns  {removed, meetings released}, {busy, meetings recorded there} (nothing changed),
--          {unknown}
-- Keys     writes server:{id}, servers, server_enabled, server_load, cordoned_server_load, meeting:{id},
--          meetings, voice_bridges, sl:internal_ids, sl:meeting:{id}, sl:server:{id},
--          sl:server_meetings:{id}, sl:released:{id}, sl:ending:{id}, sl:failed_creates:{id}, sl:held,
--          sl:suspects, sl:unpolled, sl:tag_load:{tag}, sl:index, sl:server_urls
-- Repeat   returns unknown.
-- Cost     O(all meetings)

local P, call = KEYS[1] or '', redis.call
local id, force = ARGV[1] or '', ARGV[2] == '1'
-- @include drop_meeting, meetings_of

local v = call('HMGET', P .. 'server:' .. id, 'tag', 'url')
if not v[2] and call('SISMEMBER', P .. 'servers', id) == 0 then return { 'unknown' } end
local meetings = meetings_of(id)
if #meetings > 0 and not force then return { 'busy', tostring(#meetings) } end
for _, m in ipairs(meetings) do drop_meeting(m.id, id, m.bridge) end
call('DEL', P .. 'server:' .. id, P .. 'sl:server:' .. id, P .. 'sl:server_meetings:' .. id,
  P .. 'sl:released:' .. id, P .. 'sl:ending:' .. id, P .. 'sl:failed_creates:' .. id)
call('ZREM', P .. 'sl:held', id)
call('ZREM', P .. 'sl:unpolled', id)
call('SREM', P .. 'sl:suspects', id)
call('SREM', P .. 'servers', id)
call('SREM', P .. 'server_enabled', id)
call('ZREM', P .. 'server_load', id)
call('ZREM', P .. 'cordoned_server_load', id)
call('ZREM', P .. 'sl:tag_load:' .. (v[1] or ''), id)
call('DEL', P .. 'sl:server_urls')  -- add_server.lua rebuilds it
call('HDEL', P .. 'sl:index', 'built')
return { 'removed', tostring(#meetings) }
