-- sweep: one step through `meetings`: deletes ids whose record has expired, with sl:meeting:{id}.
-- Lists the others with the meetings of their server and by their internal ids, for those that another program
-- (Scalelite) recorded.
--
-- KEYS[1]  key prefix
-- ARGV     1 cursor        where to go on ('0' at first)
--          2 count         how many ids, approximately (default 500)
--          3 drop_orphans  '1': also delete the records of meetings whose server has left the pool
-- Returns  {next cursor ('0': done), ids deleted, ids listed, records deleted}
-- Keys     writes meeting:{id}, meetings, voice_bridges, sl:meeting:{id}, sl:server_meetings:{id},
--          sl:internal_ids; reads server:{id}
-- Repeat   changes nothing more.
-- Cost     O(count)

local P, call = KEYS[1] or '', redis.call
-- @include clock, drop_meeting, ms

local page = call('SSCAN', P .. 'meetings', ARGV[1] or '0', 'COUNT', ARGV[2] or '500')
local expired, listed, dropped, now = 0, 0, 0, ms(clock())
local servers = {}
local function is_server(id)
  if servers[id] == nil then servers[id] = call('EXISTS', P .. 'server:' .. id) == 1 end
  return servers[id]
end
for _, m in ipairs(page[2]) do
  local server_id = call('HGET', P .. 'meeting:' .. m, 'server_id')
  if not server_id then
    call('SREM', P .. 'meetings', m)
    call('DEL', P .. 'sl:meeting:' .. m)
    call('HDEL', P .. 'sl:internal_ids', redis.sha1hex(m))
    expired = expired + 1
  elseif is_server(server_id) then
    call('HSETNX', P .. 'sl:internal_ids', redis.sha1hex(m), m)
    listed = listed + call('ZADD', P .. 'sl:server_meetings:' .. server_id, 'NX', now, m)
  elseif ARGV[3] == '1' then
    drop_meeting(m, server_id, call('HGET', P .. 'meeting:' .. m, 'voice_bridge'))
    dropped = dropped + 1
  end
end
return { page[1], tostring(expired), tostring(listed), tostring(dropped) }
