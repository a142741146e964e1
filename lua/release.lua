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
--          5… failed_on       with create_failed: ids of the servers that it was sent to and failed on. On
--                             two or more, the meeting is at fault, and no server is held for it
-- Returns  released, unknown (no such record), kept (on another server, or created again)
-- Keys     writes meeting:{id}, meetings, voice_bridges, server_load, cordoned_server_load,
--          sl:internal_ids, sl:meeting:{id}, sl:server:{id}, sl:server_meetings:{id}, sl:released:{id},
--          sl:ending:{id}, sl:held, sl:bad_create:{id}, sl:failed_creates:{id}, sl:tag_load:{tag}; reads
--          server:{id}, server_enabled
-- Repeat   returns unknown and changes nothing, except that a failed create counts once more.
-- Cost     O(log servers + log meetings of that server)

local P, call = KEYS[1] or '', redis.call
local id, only_server, only_generation = ARGV[1] or '', ARGV[2] or '', ARGV[3] or ''
-- @include add_load, clock, drop_meeting, hold_server, is_at_fault, meeting_weight, ms, note_failed_create
-- @include note_released, read_server

local now, create_failed = clock(), ARGV[4] == '1'
if create_failed and #ARGV > 4 then
  local bad = P .. 'sl:bad_create:' .. id
  if #ARGV > 5 or call('EXISTS', bad) == 1 then
    call('INCR', bad)
    call('EXPIRE', bad, 300)
  end
  for i = 5, #ARGV do
    local server, own = ARGV[i], P .. 'sl:server:' .. ARGV[i]
    if call('EXISTS', P .. 'server:' .. server) == 1 then
      note_failed_create(id, server, now)
      if is_at_fault(server, now) then
        hold_server(server, now, 'creates')
      elseif call('HGET', own, 'held_for') == 'creates' then
        call('ZREM', P .. 'sl:held', server)
        call('HDEL', own, 'held', 'held_at', 'held_for')
      end
    end
  end
end

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
if create_failed then
  local own = P .. 'sl:meeting:' .. id
  local notes = call('HMGET', own, 'creates', 'users', 'seen')
  local failed = call('HINCRBY', own, 'failed', 1)
  if failed < (tonumber(notes[1]) or 1) or notes[2] ~= '0' or notes[3] then return 'kept' end
end
local s = read_server(record[1])
if s then
  add_load(record[1], s.tag, -meeting_weight(id) * s.multiplier)
  note_released(id, record[1], now)
  if not create_failed then
    -- Its server has ended it, but may list it for a few minutes yet: apply_poll does not count it.
    call('ZADD', P .. 'sl:ending:' .. record[1], ms(now), id)
    call('EXPIRE', P .. 'sl:ending:' .. record[1], 120)
  end
end
drop_meeting(id, record[1], record[2])
return 'released'
