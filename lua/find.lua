-- find: says where a meeting runs.
--
-- KEYS[1]  key prefix
-- KEYS[2]  only for a client that caches the answer (CLIENT TRACKING): the key of the meeting's
--          record. Redis before 7.2 tracks nothing else of what a script reads
-- ARGV     1 meeting          meeting id, or internal meeting id
--          2 with_generation  '1': return the generation too, and the meeting id, which a release needs
-- Returns  {found, server id, url, secret, generation (0 unless wanted), meeting id (if wanted)}, or
--          {unknown}: no record, or its server has left the pool
-- Keys     reads meeting:{id}, server:{id}, sl:meeting:{id}, sl:internal_ids; writes nothing
-- Repeat   returns the same.
-- Cost     O(1)

local P, call = KEYS[1] or '', redis.call
local id = ARGV[1] or ''

local server_id = call('HGET', P .. 'meeting:' .. id, 'server_id')
if not server_id then  -- only here: a meeting found at once does not pay for the function
-- @include resolve_internal
  local found = resolve_internal(id)
  if not found then return { 'unknown' } end
  id = found
  server_id = call('HGET', P .. 'meeting:' .. id, 'server_id')
end
local server = server_id and call('HMGET', P .. 'server:' .. server_id, 'url', 'secret')
if not server or not server[1] then return { 'unknown' } end
if ARGV[2] == '1' then
  local generation = call('HGET', P .. 'sl:meeting:' .. id, 'creates')
  return { 'found', server_id, server[1], server[2] or '', generation or '0', id }
end
return { 'found', server_id, server[1], server[2] or '', '0' }
