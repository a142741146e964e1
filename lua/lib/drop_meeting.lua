-- Deletes a meeting's record and frees its voice bridge. The caller adjusts the load.
local function drop_meeting(m, server_id, bridge)
  if bridge and bridge ~= '' and call('HGET', P .. 'voice_bridges', bridge) == m then
    call('HDEL', P .. 'voice_bridges', bridge)
  end
  call('DEL', P .. 'meeting:' .. m, P .. 'sl:meeting:' .. m)
  call('SREM', P .. 'meetings', m)
  call('HDEL', P .. 'sl:internal_ids', redis.sha1hex(m))
  if server_id then call('ZREM', P .. 'sl:server_meetings:' .. server_id, m) end
end
