-- abandon: releases the meetings of a server that has been offline for OFFLINE_GRACE.
-- Their next create or join gets a new meeting elsewhere. If the server returns with them, the poll adopts
-- those that run nowhere else.
--
-- KEYS[1]  key prefix
-- ARGV     1 server    server id
--          2 grace_ms  OFFLINE_GRACE in ms; counted from the release of the brake if that was later
--          3 fence     the poller's fence ('' = none)
-- Returns  {abandoned, meeting id, …}; {waiting}, {online}, {braked}, {fenced} or {unknown}: nothing
--          changed
-- Keys     writes meeting:{id}, meetings, voice_bridges, sl:internal_ids, sl:meeting:{id}, sl:server:{id},
--          sl:suspects, sl:server_meetings:{id}; reads server:{id}, server_enabled, sl:poll_fence,
--          sl:brake, sl:brake_off
-- Repeat   abandons what was recorded there since.
-- Cost     O(meetings of that server)

local P, call = KEYS[1] or '', redis.call
local id, grace, fence = ARGV[1] or '', tonumber(ARGV[2] or '') or 120000, ARGV[3] or ''
-- @include clock, drop_meeting, fenced, read_server

local s = read_server(id)
if not s then return { 'unknown' } end
if fenced(fence) then return { 'fenced' } end
if s.online then return { 'online' } end
if call('EXISTS', P .. 'sl:brake') == 1 then return { 'braked' } end
local since = tonumber(call('HGET', P .. 'sl:server:' .. id, 'offline_since') or '')
if not since then return { 'waiting' } end
since = math.max(since, tonumber(call('GET', P .. 'sl:brake_off') or '') or 0)
if clock() - since < grace then return { 'waiting' } end
call('HSET', P .. 'sl:server:' .. id, 'lost', '1')
call('SREM', P .. 'sl:suspects', id)
local answer = { 'abandoned' }
for _, m in ipairs(call('ZRANGE', P .. 'sl:server_meetings:' .. id, 0, -1)) do
  local record = call('HMGET', P .. 'meeting:' .. m, 'server_id', 'voice_bridge')
  if record[1] == id then
    drop_meeting(m, id, record[2])
    answer[#answer + 1] = m
  end
end
call('DEL', P .. 'sl:server_meetings:' .. id)
return answer
