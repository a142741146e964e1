-- @include ms

-- Notes that the meetings of a server are unknown until it is polled: creates of unknown ids ask before they
-- place. For ten minutes at most, so that a server that never answers does not slow creates down for ever.
local function expect_poll(id, now)
  call('ZADD', P .. 'sl:unpolled', ms(now + 600000), id)
end
