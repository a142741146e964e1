-- @include ms

-- Notes that a meeting was released from a server that may list it for a while yet, so that polls do
-- not adopt it. apply_poll deletes the note once the server stops listing the meeting.
local function note_released(m, server_id, now)
  call('ZADD', P .. 'sl:released:' .. server_id, ms(now), m)
  call('EXPIRE', P .. 'sl:released:' .. server_id, 86400)
end
