-- brake: what a whole round of polls found. When more than half of the servers that should answer do
-- not, it is more likely us than them: the brake holds, and abandon.lua gives up no server.
--
-- KEYS[1]  key prefix
-- ARGV     1 servers that should answer but do not   2 servers that should answer
--          3 the poller's fence ('' = none)
-- Returns  on (holds since now), holding, off (released now), none, or fenced
-- Repeat   answers holding, or none.
-- Rule     this project's decision; Scalelite has no such thing

local P, call = KEYS[1] or '', redis.call
local failed, expected = tonumber(ARGV[1] or '') or 0, tonumber(ARGV[2] or '') or 0
local fence = ARGV[3] or ''

-- lib: clock
-- Milliseconds since 1970 by Redis' own clock: one clock for all replicas.
local function clock()
  local t = call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
-- lib end

if fence ~= '' and call('GET', P .. 'sl:poll_fence') ~= fence then return 'fenced' end
local key = P .. 'sl:brake'
if failed * 2 > expected then
  local new = call('HSETNX', key, 'since', string.format('%.0f', clock()))
  call('HSET', key, 'failed', failed, 'expected', expected)
  return new == 1 and 'on' or 'holding'
end
if call('DEL', key) == 0 then return 'none' end
-- Who is still offline has its grace from now on.
call('SET', P .. 'sl:brake_off', string.format('%.0f', clock()))
return 'off'
