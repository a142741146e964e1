-- join: says where a meeting runs, for one more participant, and counts that participant.
--
-- KEYS[1]  key prefix
-- ARGV     1 meeting          meeting id, or internal meeting id
--          2 refuse_disabled  '1': refuse joins to disabled servers too (DISABLED_REFUSES_JOINS)
--          3 participants     to count: 1 (default); -1 after the server has refused one; 0: nothing is
--                             written, for a Redis that refuses writes
--          4 increment        '1': LOAD_ACCOUNTING=increment; every participant adds to the load, even
--                             within the reservation
-- Returns  {outcome, server id, url, secret}:
--          found        join there; the participant is counted
--          unavailable  its server is offline, or disabled and refused; nothing counted
--          unknown      no such meeting, or its server has left the pool (outcome alone)
-- Keys     writes sl:meeting:{id}, server_load, cordoned_server_load, sl:tag_load:{tag}; reads server:{id},
--          server_enabled, meeting:{id}, sl:internal_ids
-- Repeat   counts one participant more each time; the next poll sets the true number.
-- Cost     O(log servers)

local P, call = KEYS[1] or '', redis.call
local id, refuse_disabled = ARGV[1] or '', ARGV[2] == '1'
local participants, increment = tonumber(ARGV[3] or '') or 1, ARGV[4] == '1'
-- @include add_load, read_server

local key, own = P .. 'meeting:' .. id, P .. 'sl:meeting:' .. id
local server_id = call('HGET', key, 'server_id')
if not server_id then
-- @include resolve_internal
  local found = resolve_internal(id)
  if not found then return { 'unknown' } end
  key, own = P .. 'meeting:' .. found, P .. 'sl:meeting:' .. found
  server_id = call('HGET', key, 'server_id')
end
local s = server_id and read_server(server_id)
if not s then return { 'unknown' } end
if not s.online or (refuse_disabled and s.state == 'disabled') then
  return { 'unavailable', server_id, s.url, s.secret }
end
if participants == 0 then return { 'found', server_id, s.url, s.secret } end
local notes = call('HMGET', own, 'users', 'reserved')
local before, reserved = tonumber(notes[1]) or 0, tonumber(notes[2]) or 0
local users = before + participants
if users < 0 then users = 0 end
call('HSET', own, 'users', users)
if not notes[1] then
  local ttl = call('TTL', key)
  if ttl > 0 then call('EXPIRE', own, ttl) end
end
-- Only participants beyond the reservation add load: the create has counted the reserved ones.
local more = (users > reserved and users or reserved) - (before > reserved and before or reserved)
if increment and more ~= participants then
  call('HINCRBY', own, 'extra', participants - more)
  more = participants
end
if more ~= 0 then add_load(server_id, s.tag, more * s.multiplier) end
return { 'found', server_id, s.url, s.secret }
