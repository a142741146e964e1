-- find: says where a meeting runs.
--
-- KEYS[1]  key prefix
-- KEYS[2]  only for a client that caches the answer (CLIENT TRACKING): the key of the meeting's
--          record. Redis before 7.2 tracks nothing else of what a script reads
-- ARGV     1 meeting          meeting id
--          2 with_generation  '1': return the generation too, which a release needs
-- Returns  {found, server id, url, secret, generation (0 unless wanted)}, or {unknown}: no record, or
--          its server has left the pool
-- Keys     reads meeting:{id}, server:{id}, sl:meeting:{id}; writes nothing
-- Repeat   returns the same.
-- Cost     O(1)

local P, call = KEYS[1] or '', redis.call
local id = ARGV[1] or ''

local server_id = call('HGET', P .. 'meeting:' .. id, 'server_id')
local server = server_id and call('HMGET', P .. 'server:' .. server_id, 'url', 'secret')
if not server or not server[1] then return { 'unknown' } end
local generation = ARGV[2] == '1' and call('HGET', P .. 'sl:meeting:' .. id, 'creates')
return { 'found', server_id, server[1], server[2] or '', generation or '0' }
