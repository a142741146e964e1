-- suspect: a request of ours failed on this server. Counts that against it, up to one failure short
-- of taking it offline: the last word is a poll's, which whoever gets the answer `probe` makes now.
--
-- KEYS[1]  key prefix
-- ARGV     1 server id   2 failures in a row that take it offline (SERVER_UNHEALTHY_THRESHOLD)
--          3 ms within which nobody else shall poll it for this (default 10000)
-- Returns  {probe, failures in a row, ms to wait before}: polls are a second apart at least;
--          {wait, failures in a row}: somebody does; or {unknown}
-- Repeat   counts one failure more, and answers wait.

local P, call = KEYS[1] or '', redis.call
local id, threshold = ARGV[1] or '', tonumber(ARGV[2] or '') or 2
local ms = tonumber(ARGV[3] or '') or 10000

-- lib: clock
-- Milliseconds since 1970 by Redis' own clock: one clock for all replicas.
local function clock()
  local t = call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
-- lib end

if not call('HGET', P .. 'server:' .. id, 'url') then return { 'unknown' } end
local own, now = P .. 'sl:server:' .. id, clock()
local notes = call('HMGET', own, 'unhealthy', 'probe_from', 'probe_until')
local streak = tonumber(notes[1]) or 0
if streak < threshold - 1 then streak = call('HINCRBY', own, 'unhealthy', 1) end
call('SADD', P .. 'sl:suspects', id)
if now < (tonumber(notes[3]) or 0) then return { 'wait', tostring(streak) } end
local delay = math.min(math.max((tonumber(notes[2]) or 0) - now, 0), 1000)
call('HSET', own, 'probe_until', string.format('%.0f', now + delay + ms))
return { 'probe', tostring(streak), string.format('%.0f', delay) }
