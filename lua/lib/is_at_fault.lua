-- @include ms

-- Whether the creates that failed on a server in the last minute are its fault. They are if they were of two
-- meetings that did not fail elsewhere too (sl:bad_create); or of five that did, over three seconds in which
-- the server created none.
local function is_at_fault(server_id, now)
  local key, minute_ago = P .. 'sl:failed_creates:' .. server_id, ms(now - 60000)
  local good, bad = 0, 0
  for _, m in ipairs(call('ZREVRANGEBYSCORE', key, '+inf', minute_ago, 'LIMIT', 0, 32)) do
    if call('EXISTS', P .. 'sl:bad_create:' .. m) == 0 then good = good + 1 else bad = bad + 1 end
  end
  if good >= 2 then return true end
  local before = call('ZREVRANGEBYSCORE', key, ms(now - 3000), minute_ago, 'WITHSCORES', 'LIMIT', 0, 1)
  if bad < 5 or not before[1] then return false end
  for _, m in ipairs(call('ZREVRANGEBYSCORE', P .. 'sl:server_meetings:' .. server_id, '+inf', before[2],
    'LIMIT', 0, 16)) do
    if call('HGET', P .. 'sl:meeting:' .. m, 'seen') then return false end
  end
  return true
end
