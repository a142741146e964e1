-- set_state: enables, cordons or disables a server.
--
-- KEYS[1]  key prefix
-- ARGV     1 server  server id
--          2 state   enabled, cordoned or disabled
-- Returns  {changed | same, state before, meetings recorded there} or {unknown}
-- Keys     writes server:{id}, server_enabled, server_load, cordoned_server_load, sl:held, sl:failed_creates:{id},
--          sl:tag_load:{tag}, sl:tags, sl:index; reads sl:meeting:{id}, sl:server_meetings:{id}
-- Errors   another state
-- Repeat   returns same.
-- Cost     O(meetings of that server): its load may have to be counted again

local P, call = KEYS[1] or '', redis.call
local id, state = ARGV[1] or '', ARGV[2] or ''
if state ~= 'enabled' and state ~= 'cordoned' and state ~= 'disabled' then
  return redis.error_reply('ERR set_state: the state must be enabled, cordoned or disabled')
end
-- @include current_load, meeting_weight, read_server, set_load

local s = read_server(id)
if not s then return { 'unknown' } end
local before = s.state
local load = current_load(id)
local meetings = call('ZRANGE', P .. 'sl:server_meetings:' .. id, 0, -1)
if not load then
  load = 0
  for _, m in ipairs(meetings) do load = load + meeting_weight(m) * s.multiplier end
end
if state == 'enabled' and before ~= 'enabled' then
  -- Participants of meetings without a record, as after a panic, count before the next poll too.
  load = math.max(tonumber(load), (tonumber(call('HGET', P .. 'server:' .. id, 'users') or '') or 0) * s.multiplier)
end
s.state = state
call('HSET', P .. 'server:' .. id, 'state', state)
if state == 'enabled' then
  call('SADD', P .. 'server_enabled', id)
  call('ZREM', P .. 'sl:held', id)
  call('DEL', P .. 'sl:failed_creates:' .. id)
else
  call('SREM', P .. 'server_enabled', id)
end
set_load(id, s, load)
call('HDEL', P .. 'sl:index', 'built')
return { before == state and 'same' or 'changed', before, tostring(#meetings) }
