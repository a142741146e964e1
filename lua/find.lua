-- find: where a meeting runs. Writes nothing.
--
-- KEYS[1]  key prefix
-- KEYS[2]  only for a client that wants to be told when the answer changes (CLIENT TRACKING): the
--          key of the meeting's record. Redis before 7.2 watches nothing else that a script reads
-- ARGV     1 meeting id   2 '1': tell the generation too (for who will release it)
-- Returns  {found, server id, url, secret, generation} or {unknown}; a record whose server has left
--          the pool is unknown too
-- Cost     O(1)

local P, call = KEYS[1] or '', redis.call
local id = ARGV[1] or ''

local server_id = call('HGET', P .. 'meeting:' .. id, 'server_id')
local server = server_id and call('HMGET', P .. 'server:' .. server_id, 'url', 'secret')
if not server or not server[1] then return { 'unknown' } end
local generation = ARGV[2] == '1' and call('HGET', P .. 'sl:meeting:' .. id, 'creates')
return { 'found', server_id, server[1], server[2] or '', generation or '0' }
