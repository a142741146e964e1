-- reassign: moves a meeting to another server, with its load, in one step.
-- For a create that failed on its server, and for a meeting that its server does not run any more.
--
-- KEYS[1]  key prefix
-- ARGV     1 meeting             meeting id
--          2 from                id of the server that it must leave
--          3 tag                 as for assign.lua
--          4 reserve             participants it counts for until they have joined
--          5 ttl_seconds         until the record expires unless renewed
--          6 any_if_no_untagged  '1': if the pool has no untagged server at all, any server will do
--          7 reason              `failed`: a create was sent there and failed. The meeting moves only if
--                                it cannot have participants: recorded for less than two minutes, no
--                                join, not polled. The server is held (sl:held) if creates of different
--                                meetings have failed there
--                                `unreachable`: the same, but nothing could be sent: held at once
--                                `busy`: the same, but nothing was sent, by no fault of the server
--                                `stale`: the server does not have it. It moves unless its first create
--                                may still be under way: recorded for less than 15 s, no join, not polled
--                                `gone`: it moves
--          8 tries_left          servers that a `failed` create may try yet, this move included. A meeting
--                                whose create failed on several servers a few minutes ago may try
--                                fewer (sl:bad_create)
--          9… excluded           ids of servers not to pick
-- Returns  {outcome, server id, url, secret, tag, voice bridge, moderator password, generation,
--          availability}:
--          moved            recorded there now
--          existing         another create has moved it meanwhile
--          none             no other candidate: not moved               (outcome alone)
--          tag_unavailable  no other with a required tag: not moved     (outcome, tag list)
--          kept             it must not move: nothing changed           (outcome alone)
--          spent            its creates have failed too often: not moved (outcome alone)
--          unknown          no such record                              (outcome alone)
-- Keys     writes meeting:{id}, meetings, server_load, cordoned_server_load, sl:internal_ids,
--          sl:meeting:{id}, sl:server:{id}, sl:server_meetings:{id}, sl:released:{id}, sl:held,
--          sl:failed_creates:{id}, sl:tag_load:{tag}, sl:tags, sl:index, sl:turn; reads server:{id},
--          servers, server_enabled, sl:bad_create:{id}
-- Errors   a reason that is none of these
-- Repeat   returns existing with the same server.
-- Cost     as assign.lua

local P, call = KEYS[1] or '', redis.call
local id, from = ARGV[1] or '', ARGV[2] or ''
local tag_argument = ARGV[3] or ''
local reserve = tonumber(ARGV[4] or '') and ARGV[4] or '15'
local ttl = tonumber(ARGV[5] or '') or 86400
local any_if_no_untagged, reason = ARGV[6] == '1', ARGV[7] or ''
local tries_left = tonumber(ARGV[8] or '') or 1
local create_failed = reason == 'failed' or reason == 'unreachable' or reason == 'busy'
if not create_failed and reason ~= 'stale' and reason ~= 'gone' then
  return redis.error_reply('ERR reassign: ARGV[7] must be failed, unreachable, busy, stale or gone')
end
-- @include add_load, clock, hold_server, is_at_fault, meeting_weight, note_failed_create, note_released, pick
-- @include read_server, record_meeting

local now, own = clock(), P .. 'sl:meeting:' .. id
if create_failed and call('EXISTS', P .. 'server:' .. from) == 1 then
  if reason == 'unreachable' then
    hold_server(from, now, 'unreachable')
  elseif reason == 'failed' then
    note_failed_create(id, from, now)
    if is_at_fault(from, now) then hold_server(from, now, 'creates') end
  end
end

local record = call('HMGET', P .. 'meeting:' .. id, 'server_id', 'voice_bridge', 'moderator_pw',
  'tenant_id')
if not record[1] then return { 'unknown' } end
if record[1] ~= from then
  local s = read_server(record[1])
  if not s then return { 'unknown' } end
  if create_failed then call('HINCRBY', own, 'failed', 1) end
  return { 'existing', record[1], s.url, s.secret, s.tag, record[2] or '', record[3] or '',
    tostring(call('HINCRBY', own, 'creates', 1)), s.online and s.state or 'offline' }
end
local notes = call('HMGET', own, 'created', 'users', 'seen', 'creates', 'failed')
local age = now - (tonumber(notes[1]) or 0)
local untouched = notes[2] == '0' and not notes[3]
if create_failed and (age > 120000 or not untouched) then return { 'kept' } end
if reason == 'stale' and age < 15000 and untouched then return { 'kept' } end
if reason == 'failed'
  and tries_left <= (tonumber(call('GET', P .. 'sl:bad_create:' .. id) or '') or 0) then
  return { 'spent' }
end

local excluded = { [from] = true }
for i = 9, #ARGV do excluded[ARGV[i]] = true end
local server_id, picked, indexed, tags = pick(tag_argument, any_if_no_untagged, now, excluded)
if not server_id then
  if tags then return { 'tag_unavailable', tags } end
  return { 'none' }
end
local s = read_server(from)
if s then add_load(from, s.tag, -meeting_weight(id) * s.multiplier) end
call('ZREM', P .. 'sl:server_meetings:' .. from, id)
call('DEL', own)
note_released(id, from, now)  -- in case that server creates it after all
local bridge, password, generation = record[2] or '', record[3] or '', (tonumber(notes[4]) or 0) + 1
record_meeting(id, server_id, picked, { now = now, password = password, bridge = bridge,
  tenant = record[4] or '', ttl = ttl, reserve = reserve, generation = generation }, indexed)
if create_failed then call('HSET', own, 'failed', (tonumber(notes[5]) or 0) + 1) end
return { 'moved', server_id, picked.url, picked.secret, picked.tag, bridge, password,
  tostring(generation), 'enabled' }
