-- @include ms

-- Holds a server (sl:held) for ten seconds, and longer with each failure that follows, up to two minutes.
-- `reason` is `creates` if only failed creates speak against it: release.lua may take that back.
local function hold_server(server_id, now, reason)
  local own = P .. 'sl:server:' .. server_id
  local notes = call('HMGET', own, 'held', 'held_at')
  local times, before = tonumber(notes[1]) or 0, now - (tonumber(notes[2]) or 0)
  -- Failures at the same time count as one.
  if before > 1000 then
    times = before > 300000 and 1 or times + 1
    call('HSET', own, 'held', times, 'held_at', ms(now))
  end
  call('HSET', own, 'held_for', reason)
  call('ZADD', P .. 'sl:held', ms(now + math.min(10000 * times, 120000)), server_id)
end
