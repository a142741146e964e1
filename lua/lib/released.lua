-- Notes that a meeting was released from a server, which may list it for a while yet: a poll must
-- not take it for one that was lost. apply_poll forgets it once the server does not list it.
local function note_released(m, server_id, now)
  call('ZADD', P .. 'sl:released:' .. server_id, string.format('%.0f', now), m)
  call('EXPIRE', P .. 'sl:released:' .. server_id, 86400)
end
