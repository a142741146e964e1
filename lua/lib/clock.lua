-- Milliseconds since 1970 by the clock of Redis, the one clock that all replicas share.
local function clock()
  local t = call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
