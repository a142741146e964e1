-- release: deletes the record of a meeting that has ended or was never created.
-- Frees its voice bridge and subtracts its load from its server.
--
-- KEYS[1]  key prefix
-- ARGV     1 meeting          meeting id
--          2 only_server      only if it is recorded on this server ('' or absent: any)
--          3 only_generation  only if its generation is still this one ('' or absent: any), so that a
--                             create in between keeps its meeting
--          4 create_failed    '1': a create of it has failed; only if all creates of this record have
--                             failed, without a join, and no poll has seen it
-- Returns  released, unknown (no such record), kept (on another server, or created again)
-- Keys     writes meeting:{id}, meetings, voice_bridges, server_load, cordoned_server_load, sl:meeting:{id},
--          sl:server_meetings:{id}, sl:released:{id}, sl:tag_load:{tag}; reads server:{id}, server_enabled
-- Repeat   returns unknown and changes nothing.
-- Cost     O(log servers + log meetings of that server)

local P, call = KEYS[1] or '', redis.call
local id, only_server, only_generation = ARGV[1] or '', ARGV[2] or '', ARGV[3] or ''
-- @include add_load, clock, drop_meeting, meeting_weight, note_released, read_server

local record = call('HMGET', P .. 'meeting:' .. id, 'server_id', 'voice_bridge')
if not record[1] then
  call('SREM', P .. 'meetings', id)
  return 'unknown'
end
if only_server ~= '' and record[1] ~= only_server then return 'kept' end
if only_generation ~= '' and only_generation ~= '0'
  and call('HGET', P .. 'sl:meeting:' .. id, 'creates') ~= only_generation then
  return 'kept'
end
if ARGV[4] == '1' then
  local own = P .. 'sl:meeting:' .. id
  local notes = call('HMGET', own, 'creates', 'users', 'seen')
  local failed = call('HINCRBY', own, 'failed', 1)
  if failed < (tonumber(notes[1]) or 1) or notes[2] ~= '0' or notes[3] then return 'kept' end
end
local s = read_server(record[1])
if s then
  add_load(record[1], s.tag, -meeting_weight(id) * s.multiplier)
  note_released(id, record[1], clock())
end
drop_meeting(id, record[1], record[2])
return 'released'
