-- suspect: counts a request that failed on a server, up to one failure short of taking it offline.
-- Only a poll takes it offline: the caller that gets `probe` must poll it now.
--
-- KEYS[1]  key prefix
-- ARGV     1 server               server id
--          2 unhealthy_threshold  failures in a row that take it offline (SERVER_UNHEALTHY_THRESHOLD)
--          3 probe_ms             no other caller polls it for a failed request within this time
--                                 (default 10000)
-- Returns  {probe, failures in a row, ms to wait before the poll, so that polls are a second apart};
--          {wait, failures in a row}: another caller polls it; or {unknown}
-- Keys     writes sl:server:{id}, sl:suspects; reads server:{id}
-- Repeat   counts one failure more, and answers wait.
-- Cost     O(1)

local P, call = KEYS[1] or '', redis.call
local id, threshold = ARGV[1] or '', tonumber(ARGV[2] or '') or 2
local lasts = tonumber(ARGV[3] or '') or 10000
-- @include clock, ms

if not call('HGET', P .. 'server:' .. id, 'url') then return { 'unknown' } end
local own, now = P .. 'sl:server:' .. id, clock()
local notes = call('HMGET', own, 'unhealthy', 'probe_from', 'probe_until')
local streak = tonumber(notes[1]) or 0
if streak < threshold - 1 then streak = call('HINCRBY', own, 'unhealthy', 1) end
call('SADD', P .. 'sl:suspects', id)
if now < (tonumber(notes[3]) or 0) then return { 'wait', tostring(streak) } end
local delay = math.min(math.max((tonumber(notes[2]) or 0) - now, 0), 1000)
call('HSET', own, 'probe_until', ms(now + delay + lasts))
return { 'probe', tostring(streak), ms(delay) }
