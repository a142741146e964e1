-- poll_unreadable: notes that a server answered a poll with a list that cannot be read.
-- The server is alive, so this counts neither as an answered poll nor as a failed one: it keeps its state,
-- its figures and its meetings, whose records are renewed.
--
-- KEYS[1]  key prefix
-- ARGV     1 server       server id
--          2 started_ms   when the poll was sent, ms by Redis' clock (absent or 0: now)
--          3 ttl_seconds  until the records expire unless renewed (DEFAULT_MEETING_TTL)
--          4 fence        the poller's fence ('' or absent: none)
-- Returns  {online | offline, state}; {unknown}; {fenced} or {stale}: too late, nothing written
-- Keys     writes sl:server:{id}, sl:suspects, meeting:{id}, sl:meeting:{id}; reads server:{id},
--          server_enabled, sl:server_meetings:{id}, sl:poll_fence
-- Repeat   sets the same.
-- Rule     failures before it do not count any more: a server that answers goes offline only for as many
--          failures in a row as any other. An offline server stays a suspect, and is polled every few
--          seconds; its grace (OFFLINE_GRACE) begins with its next failure.
-- Cost     O(meetings of that server)

local P, call = KEYS[1] or '', redis.call
local id, started = ARGV[1] or '', tonumber(ARGV[2] or '') or 0
local ttl, fence = tonumber(ARGV[3] or '') or 86400, ARGV[4] or ''
-- @include clock, ms, poll_rejected, read_server

local s = read_server(id)
if not s then return { 'unknown' } end
local now, own = clock(), P .. 'sl:server:' .. id
local rejected = poll_rejected(id, fence, started, now)
if rejected then return { rejected } end
if started == 0 then started = now end
-- A failed request causes no poll of it within the next second.
call('HSET', own, 'unhealthy', 0, 'asked', ms(started), 'probe_from', ms(now + 1000))
call('HDEL', own, 'probe_until', 'offline_since')
if s.online then call('SREM', P .. 'sl:suspects', id) end
for _, m in ipairs(call('ZRANGE', P .. 'sl:server_meetings:' .. id, 0, -1)) do
  if call('HGET', P .. 'meeting:' .. m, 'server_id') == id then
    call('EXPIRE', P .. 'meeting:' .. m, ttl)
    call('EXPIRE', P .. 'sl:meeting:' .. m, ttl)
  end
end
return { s.online and 'online' or 'offline', s.state }
