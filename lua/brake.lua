-- brake: decides after a round of polls whether the brake holds.
-- If more than half of the servers that should answer do not, the poller's network is the more likely
-- cause: the brake holds, and abandon.lua abandons no server.
--
-- KEYS[1]  key prefix
-- ARGV     1 failed    servers that should answer and do not
--          2 expected  servers that should answer
--          3 fence     the poller's fence ('' = none)
-- Returns  on (holds from now on), holding, off (released now), none, or fenced
-- Keys     writes sl:brake, sl:brake_off; reads sl:poll_fence
-- Repeat   returns holding, or none.
-- Rule     this project's decision; Scalelite has no brake
-- Cost     O(1)

local P, call = KEYS[1] or '', redis.call
local failed, expected = tonumber(ARGV[1] or '') or 0, tonumber(ARGV[2] or '') or 0
local fence = ARGV[3] or ''
-- @include clock, fenced, ms

if fenced(fence) then return 'fenced' end
local key = P .. 'sl:brake'
if failed * 2 > expected then
  local new = call('HSETNX', key, 'since', ms(clock()))
  call('HSET', key, 'failed', failed, 'expected', expected)
  return new == 1 and 'on' or 'holding'
end
if call('DEL', key) == 0 then return 'none' end
-- The grace of servers that are still offline begins now.
call('SET', P .. 'sl:brake_off', ms(clock()))
return 'off'
