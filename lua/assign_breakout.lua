-- assign_breakout: records a breakout room on the server of its parent meeting.
-- Whatever the state and load of that server: only it can create the room.
--
-- KEYS[1]  key prefix
-- ARGV     1 meeting        meeting id of the room
--          2 parent         meeting id of its parent, or internal meeting id
--          3 reserve        participants it counts for until they have joined (default 15)
--          4 ttl_seconds    until the record expires unless renewed (default 86400)
--          5 moderator_pw   moderator password to record for a new room
--          6 tenant         tenant id to record ('' without tenancy)
--          7… voice_bridges voice bridges to try, in order; without any, none is allocated
-- Returns  {outcome, server id, url, secret, tag, voice bridge, moderator password, generation,
--          availability}, all strings:
--          assigned         recorded now, load counted
--          existing         recorded before, on a server that is in the pool
--          no_parent        no record of the parent, or its server has left the pool (outcome alone)
--          no_voice_bridge  every voice bridge offered is taken (outcome alone; nothing written)
-- Keys     writes meeting:{id}, meetings, voice_bridges, server_load, cordoned_server_load,
--          sl:internal_ids, sl:meeting:{id}, sl:server_meetings:{id}, sl:tag_load:{tag}; reads server:{id},
--          server_enabled
-- Errors   no meeting id
-- Repeat   returns existing with the same server; only the generation grows.
-- Cost     O(log servers)

local P, call = KEYS[1] or '', redis.call
local id, parent = ARGV[1] or '', ARGV[2] or ''
if id == '' then
  return redis.error_reply('ERR assign_breakout: ARGV[1], the meeting id, is missing')
end
local reserve = tonumber(ARGV[3] or '') and ARGV[3] or '15'
local ttl = tonumber(ARGV[4] or '') or 86400
local password, tenant = ARGV[5] or '', ARGV[6] or ''
-- @include claim_bridge, clock, count_create, read_server, record_meeting, resolve_internal

local own = P .. 'sl:meeting:' .. id
local function answer(outcome, server_id, s, bridge, moderator_pw, generation)
  return { outcome, server_id, s.url, s.secret, s.tag, bridge, moderator_pw, generation,
    s.online and s.state or 'offline' }
end

local record = call('HMGET', P .. 'meeting:' .. id, 'server_id', 'voice_bridge', 'moderator_pw')
local at = record[1] and read_server(record[1])
if at then
  return answer('existing', record[1], at, record[2] or '', record[3] or '', count_create(own, ttl))
end

local server_id = call('HGET', P .. 'meeting:' .. parent, 'server_id')
if not server_id then
  parent = resolve_internal(parent)
  server_id = parent and call('HGET', P .. 'meeting:' .. parent, 'server_id')
end
local s = server_id and read_server(server_id)
if not s then return { 'no_parent' } end

-- A record whose server left the pool keeps its voice bridge.
local bridge = record[2] or ''
for i = 7, #ARGV do
  if bridge ~= '' then break end
  if claim_bridge(ARGV[i], id) then bridge = ARGV[i] end
end
if bridge == '' and #ARGV > 6 then return { 'no_voice_bridge' } end
if record[1] then
  call('ZREM', P .. 'sl:server_meetings:' .. record[1], id)
  call('DEL', own)
end
record_meeting(id, server_id, s, { now = clock(), password = password, bridge = bridge, tenant = tenant,
  ttl = ttl, reserve = reserve, generation = 1 }, true)
return answer('assigned', server_id, s, bridge, password, '1')
