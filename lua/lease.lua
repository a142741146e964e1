-- lease: who polls. One poller holds the lease until it expires; each new holder gets a fence, which
-- the writes of its polls carry, so that a holder that was paused cannot write over its successor.
--
-- KEYS[1]  key prefix
-- ARGV     1 who asks   2 ms that the lease lasts from now; 0 gives it up
--          3 '1': a round of polls begins now
-- Returns  {held, fence, ms since the last round began ('' = never)},
--          {other, ms until its lease expires}, or {free} (given up, or never held)
-- Repeat   renews; the fence stays.

local P, call = KEYS[1] or '', redis.call
local who, ms = ARGV[1] or '', math.floor(tonumber(ARGV[2] or '') or 0)
if who == '' then return redis.error_reply('ERR lease: ARGV[1], who asks, is missing') end

-- lib: clock
-- Milliseconds since 1970 by Redis' own clock: one clock for all replicas.
local function clock()
  local t = call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
-- lib end

local key, now = P .. 'sl:poll_lease', clock()
local holder = call('GET', key)
if holder and holder ~= who then return { 'other', tostring(math.max(call('PTTL', key), 0)) } end
if ms <= 0 then
  call('DEL', key)
  return { 'free' }
end
local fence = holder and call('GET', P .. 'sl:poll_fence')
if not fence then
  -- By the clock, so that it differs from all before it even when Redis has lost everything.
  local before = tonumber(call('GET', P .. 'sl:poll_fence') or '') or 0
  fence = string.format('%.0f', math.max(now, before + 1))
  call('SET', P .. 'sl:poll_fence', fence)
end
call('SET', key, who, 'PX', ms)
local round = tonumber(call('GET', P .. 'sl:poll_round') or '')
if ARGV[3] == '1' then call('SET', P .. 'sl:poll_round', string.format('%.0f', now)) end
return { 'held', fence, round and string.format('%.0f', math.max(now - round, 0)) or '' }
