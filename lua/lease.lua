-- lease: takes, renews or gives up the lease on polling.
-- One replica holds it until it expires. Each new holder gets a fence, which the writes of its polls carry,
-- so that a holder that was paused cannot overwrite its successor.
--
-- KEYS[1]  key prefix
-- ARGV     1 replica       id of the replica that wants it
--          2 lasts_ms      how long it lasts from now; 0 gives it up
--          3 round_begins  '1': a round of polls begins now
-- Returns  {held, fence, ms since the last round began ('' = never)},
--          {other, ms until its lease expires}, or {free} (given up, or never held)
-- Keys     writes sl:poll_lease, sl:poll_fence, sl:poll_round
-- Errors   no replica id
-- Repeat   renews; the fence stays.
-- Cost     O(1)

local P, call = KEYS[1] or '', redis.call
local replica, lasts = ARGV[1] or '', math.floor(tonumber(ARGV[2] or '') or 0)
if replica == '' then return redis.error_reply('ERR lease: ARGV[1], the replica, is missing') end
-- @include clock, ms

local key, now = P .. 'sl:poll_lease', clock()
local holder = call('GET', key)
if holder and holder ~= replica then return { 'other', tostring(math.max(call('PTTL', key), 0)) } end
if lasts <= 0 then
  call('DEL', key)
  return { 'free' }
end
local fence = holder and call('GET', P .. 'sl:poll_fence')
if not fence then
  -- From the clock, so that it differs from all earlier ones even after Redis has lost its data.
  local before = tonumber(call('GET', P .. 'sl:poll_fence') or '') or 0
  fence = ms(math.max(now, before + 1))
  call('SET', P .. 'sl:poll_fence', fence)
end
call('SET', key, replica, 'PX', lasts)
local round = tonumber(call('GET', P .. 'sl:poll_round') or '')
if ARGV[3] == '1' then call('SET', P .. 'sl:poll_round', ms(now)) end
return { 'held', fence, round and ms(math.max(now - round, 0)) or '' }
