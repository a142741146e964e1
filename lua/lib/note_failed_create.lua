-- @include ms

-- Notes that a create of this meeting was sent to a server and failed there. is_at_fault.lua reads it.
local function note_failed_create(m, server_id, now)
  local key = P .. 'sl:failed_creates:' .. server_id
  call('ZADD', key, ms(now), m)
  call('ZREMRANGEBYRANK', key, 0, -65)
  call('EXPIRE', key, 60)
end
