-- Takes a voice bridge for a meeting; false if another meeting has it. A number whose meeting has
-- expired is free.
local function claim_bridge(number, m)
  if call('HSETNX', P .. 'voice_bridges', number, m) == 1 then return true end
  local owner = call('HGET', P .. 'voice_bridges', number)
  if owner ~= m and call('EXISTS', P .. 'meeting:' .. owner) == 1 then return false end
  call('HSET', P .. 'voice_bridges', number, m)
  return true
end
