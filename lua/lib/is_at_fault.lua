-- @include ms

-- Whether the creates that failed on a server in the last minute are its fault. They are if they were of two
-- meetings that did not fail elsewhere too (sl:bad_create); or of five that did, over three seconds in which
-- the server created none.
local function is_at_fault(server_id, now)
  local failures = call('ZREVRANGEBYSCORE', P .. 'sl:failed_creates:' .. server_id, '+inf', ms(now - 60000),
    'WITHSCORES', 'LIMIT', 0, 32)
  local good, bad, since = 0, 0, now
  for i = 1, #failures, 2 do
    if call('EXISTS', P .. 'sl:bad_create:' .. failures[i]) == 0 then good = good + 1
    else bad, since = bad + 1, tonumber(failures[i + 1]) end
  end
  if good >= 2 then return true end
  if bad < 5 or now - since < 3000 then return false end
  for _, m in ipairs(call('ZREVRANGEBYSCORE', P .. 'sl:server_meetings:' .. server_id, '+inf', ms(since),
    'LIMIT', 0, 16)) do
    if call('HGET', P .. 'sl:meeting:' .. m, 'seen') then return false end
  end
  return true
end
