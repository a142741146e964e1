-- @include ms

-- Notes that a create of this meeting was sent to a server and failed there. is_at_fault.lua reads it.
local function note_failed_create(m, server_id, now)
  local key = P .. 'sl:failed_creates:' .. server_id
  call('ZREMRANGEBYSCORE', key, '-inf', ms(now - 60000))
  call('ZADD', key, ms(now), m)
  -- The older ones stay: they tell for how long creates have failed.
  if call('ZCARD', key) > 64 then call('ZREMRANGEBYRANK', key, -2, -2) end
  call('EXPIRE', key, 60)
end
