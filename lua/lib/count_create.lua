-- @include clock, ms

-- Counts another create of a recorded meeting; returns its generation. `own` is its key sl:meeting:{id}.
local function count_create(own, ttl)
  local generation, now = call('HINCRBY', own, 'creates', 1), ms(clock())
  if generation == 1 then  -- recorded by another program, or our own keys were deleted
    generation = call('HINCRBY', own, 'creates', 1)  -- the create that made the record counts too
    call('HSETNX', own, 'created', now)
    call('EXPIRE', own, ttl)
  end
  -- Its server may be creating it again; a poll that is under way does not know of that.
  call('HSET', own, 'again', now, 'missed', 0)
  return tostring(generation)
end
