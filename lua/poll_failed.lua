-- poll_failed: counts a poll that a server did not answer.
-- After enough failures in a row it is offline: it gets no new meetings, and joins are refused. Its
-- meetings stay recorded.
--
-- KEYS[1]  key prefix
-- ARGV     1 server               server id
--          2 unhealthy_threshold  failures in a row that take it offline (SERVER_UNHEALTHY_THRESHOLD)
--          3 started_ms           when the poll was sent, ms by Redis' clock (absent or 0: now)
--          4 fence                the poller's fence ('' or absent: none)
-- Returns  {online | offline, state, failures in a row, went offline now: 1 or 0}; {unknown}; {fenced} or
--          {stale}: too late, nothing written
-- Keys     writes server:{id}, server_load, cordoned_server_load, sl:server:{id}, sl:suspects,
--          sl:held, sl:unpolled, sl:tag_load:{tag}, sl:tags; reads server_enabled, sl:poll_lease,
--          sl:poll_fence, sl:failed_creates:{id}
-- Repeat   counts one failure more.
-- Rule     while a replica holds the lease on polling, only its polls take a server offline: a failure
--          that another replica saw may be the fault of that replica's network. A server where a create
--          has failed too is held
-- Cost     O(log servers)

local P, call = KEYS[1] or '', redis.call
local id, threshold = ARGV[1] or '', tonumber(ARGV[2] or '') or 2
local started, fence = tonumber(ARGV[3] or '') or 0, ARGV[4] or ''
-- @include clock, hold_server, ms, note_figures, poll_rejected, read_server, set_load

local s = read_server(id)
if not s then return { 'unknown' } end
local now, own = clock(), P .. 'sl:server:' .. id
local rejected = poll_rejected(id, fence, started, now)
if rejected then return { rejected } end
if started == 0 then started = now end
local streak = tonumber(call('HGET', own, 'unhealthy') or '') or 0
if fence ~= '' or streak < threshold - 1 or call('EXISTS', P .. 'sl:poll_lease') == 0 then
  streak = call('HINCRBY', own, 'unhealthy', 1)
end
-- An abandoned server is polled in rounds only.
if call('HGET', own, 'lost') ~= '1' then call('SADD', P .. 'sl:suspects', id) end
-- A failed request causes no poll of it within the next second.
call('HSET', own, 'healthy', 0, 'asked', ms(started), 'probe_from', ms(now + 1000))
call('HDEL', own, 'probe_until')
-- A server that does not answer cannot be asked for its meetings, and makes no create wait.
if streak >= threshold then call('ZREM', P .. 'sl:unpolled', id) end
local online_before = s.online
if streak >= threshold and s.online then
  s.online = false
  call('HSET', P .. 'server:' .. id, 'online', 'false')
  note_figures(id)
end
if s.online and call('EXISTS', P .. 'sl:failed_creates:' .. id) == 1 then hold_server(id, now, 'poll') end
if not s.online then
  set_load(id, s, 0)
  call('HSETNX', own, 'offline_since', ms(now))
end
return { s.online and 'online' or 'offline', s.state, tostring(streak),
  (online_before and not s.online) and '1' or '0' }
