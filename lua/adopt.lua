-- adopt: records meetings that a server runs and that have no record.
-- After Redis has lost its data, every meeting is recorded again once every server was polled. apply_poll
-- has counted their load.
--
-- KEYS[1]  key prefix
-- ARGV     1 server       server id
--          2 started_ms   when the poll was sent, ms by Redis' clock (0: now)
--          3 fence        the poller's fence ('' = none)
--          4 reserve      participants a young meeting counts for at least (LOAD_MIN_USER_COUNT)
--          5 young_ms     a meeting is young for this long (LOAD_JOIN_BUFFER_TIME)
--          6 ttl_seconds  until the records expire unless renewed (DEFAULT_MEETING_TTL)
--          7… meetings    for each meeting: id, ms since 1970 when its server created it,
--                         participants, voice bridge, moderator password, tenant id
-- Returns  {adopted, meeting id, …}, {unknown}, {fenced} or {stale}. Not adopted: meetings that have
--          a record by now, and those released from this server that it still lists
-- Keys     writes meeting:{id}, meetings, voice_bridges, sl:internal_ids, sl:meeting:{id},
--          sl:server_meetings:{id}; reads server:{id}, sl:poll_fence, sl:server:{id}, sl:released:{id}
-- Repeat   adopts nothing more.
-- Cost     O(meetings named)

local P, call = KEYS[1] or '', redis.call
local id, started, fence = ARGV[1] or '', tonumber(ARGV[2] or '') or 0, ARGV[3] or ''
local reserve, young = tonumber(ARGV[4] or '') or 15, tonumber(ARGV[5] or '') or 900000
local ttl = tonumber(ARGV[6] or '') or 86400
-- @include claim_bridge, clock, ms, poll_rejected, write_record

if call('EXISTS', P .. 'server:' .. id) == 0 then return { 'unknown' } end
local now = clock()
-- One ms later, since this very poll has been written.
local rejected = poll_rejected(id, fence, started == 0 and 0 or started + 1, now)
if rejected then return { rejected } end
local answer = { 'adopted' }
for i = 7, #ARGV, 6 do
  local m, bridge = ARGV[i], ARGV[i + 3] or ''
  local created, users = math.min(tonumber(ARGV[i + 1] or '') or now, now), tonumber(ARGV[i + 2] or '') or 0
  if call('EXISTS', P .. 'meeting:' .. m) == 0 and not call('ZSCORE', P .. 'sl:released:' .. id, m) then
    if bridge ~= '' then claim_bridge(bridge, m) end  -- another meeting may have it, and keeps it
    write_record(m, id, ms(created), { password = ARGV[i + 4] or '', bridge = bridge,
      tenant = ARGV[i + 5] or '', ttl = ttl })
    local own = P .. 'sl:meeting:' .. m
    call('DEL', own)
    call('HSET', own, 'created', ms(created), 'users', users,
      'reserved', now - created < young and reserve or 0, 'missed', 0, 'creates', 1, 'seen', 1)
    call('EXPIRE', own, ttl)
    answer[#answer + 1] = m
  end
end
return answer
