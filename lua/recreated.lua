-- recreated: a server has created a meeting that had a record.
-- It had ended there between polls, or an earlier create never reached the server. Records its real
-- moderator password, and counts it as new.
--
-- KEYS[1]  key prefix
-- ARGV     1 meeting       meeting id
--          2 server        id of the server that created it
--          3 moderator_pw  moderator password ('': keep the recorded one)
--          4 reserve       participants it counts for until they have joined
-- Returns  noted, or kept (no such record, or on another server)
-- Keys     writes meeting:{id}, server_load, cordoned_server_load, sl:meeting:{id}, sl:server_meetings:{id},
--          sl:tag_load:{tag}; reads server:{id}, server_enabled
-- Repeat   writes the same.
-- Cost     O(log servers + log meetings of that server)

local P, call = KEYS[1] or '', redis.call
local id, server_id, reserve = ARGV[1] or '', ARGV[2] or '', tonumber(ARGV[4] or '') or 15
-- @include add_load, clock, meeting_weight, ms, read_server

local key, own, now = P .. 'meeting:' .. id, P .. 'sl:meeting:' .. id, clock()
if call('HGET', key, 'server_id') ~= server_id then return 'kept' end
if ARGV[3] and ARGV[3] ~= '' then call('HSET', key, 'moderator_pw', ARGV[3]) end
-- Of two creates at the same time, the one recorded second may be the one that created the meeting.
local notes = call('HMGET', own, 'created', 'seen')
if now - (tonumber(notes[1]) or 0) < 60000 and not notes[2] then return 'noted' end
local before, created = meeting_weight(id), ms(now)
call('HSET', own, 'created', created, 'reserved', reserve, 'users', 0, 'missed', 0)
call('HDEL', own, 'extra', 'seen')
call('ZADD', P .. 'sl:server_meetings:' .. server_id, created, id)
local s = read_server(server_id)
if s then add_load(server_id, s.tag, (reserve - before) * s.multiplier) end
return 'noted'
