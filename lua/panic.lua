-- panic: disables a server and releases all of its meetings.
-- Their next create or join gets a new meeting elsewhere.
--
-- KEYS[1]  key prefix
-- ARGV     1 server      server id
--          2 keep_state  '1': keep the server's state
-- Returns  {panicked, url, secret, meeting id, moderator password, meeting id, …} or {unknown}
-- Keys     writes server:{id}, server_enabled, server_load, cordoned_server_load, meeting:{id}, meetings,
--          voice_bridges, sl:internal_ids, sl:meeting:{id}, sl:server:{id}, sl:server_meetings:{id},
--          sl:released:{id}, sl:tag_load:{tag}, sl:tags, sl:index
-- Repeat   releases nothing more.
-- Cost     O(all meetings)

local P, call = KEYS[1] or '', redis.call
local id, keep_state = ARGV[1] or '', ARGV[2] == '1'
-- @include clock, drop_meeting, meetings_of, note_figures, note_released, read_server, set_load

local s = read_server(id)
if not s then return { 'unknown' } end
local answer = { 'panicked', s.url, s.secret }
for _, m in ipairs(meetings_of(id)) do
  drop_meeting(m.id, id, m.bridge)
  note_released(m.id, id, clock())
  answer[#answer + 1] = m.id
  answer[#answer + 1] = m.moderator_pw
end
call('DEL', P .. 'sl:server_meetings:' .. id)
if not keep_state then
  s.state = 'disabled'
  call('HSET', P .. 'server:' .. id, 'state', 'disabled')
  call('SREM', P .. 'server_enabled', id)
end
set_load(id, s, 0)
call('HSET', P .. 'server:' .. id, 'meetings', 0, 'users', 0, 'largest_meeting', 0, 'videos', 0)
note_figures(id)
call('HDEL', P .. 'sl:index', 'built')
return answer
