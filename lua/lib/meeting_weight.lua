-- What a meeting adds to the load of its server, before the multiplier: its participants, at least
-- its reservation, plus what LOAD_ACCOUNTING=increment counted beyond.
local function meeting_weight(m)
  local v = call('HMGET', P .. 'sl:meeting:' .. m, 'users', 'reserved', 'extra')
  local users, reserved = tonumber(v[1]) or 0, tonumber(v[2]) or 0
  return (users > reserved and users or reserved) + (tonumber(v[3]) or 0)
end
