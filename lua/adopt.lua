-- adopt: records meetings that a server runs and that nobody has recorded: after Redis was lost, the
-- registry is whole again once every server was polled. Their load was counted by apply_poll.
--
-- KEYS[1]  key prefix
-- ARGV     1 server id   2 when the question was sent: ms by Redis' clock
--          3 the poller's fence ('' = none)
--          4 people a young meeting counts for at least (LOAD_MIN_USER_COUNT)
--          5 ms for which a meeting is young (LOAD_JOIN_BUFFER_TIME)
--          6 seconds until the records expire unless renewed (DEFAULT_MEETING_TTL)
--          7… for each meeting: id, ms since 1970 when its server created it, people, voice bridge,
--            moderator password, tenant id
-- Returns  {adopted, meeting id, …}, {unknown}, {fenced} or {stale}. Not adopted: those recorded
--          meanwhile, and those that were released from this server and are still listed there
-- Repeat   adopts nothing more.

local P, call = KEYS[1] or '', redis.call
local id, started, fence = ARGV[1] or '', tonumber(ARGV[2] or '') or 0, ARGV[3] or ''
local reserve, young = tonumber(ARGV[4] or '') or 15, tonumber(ARGV[5] or '') or 900000
local ttl = tonumber(ARGV[6] or '') or 86400

-- lib: clock
-- Milliseconds since 1970 by Redis' own clock: one clock for all replicas.
local function clock()
  local t = call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
-- lib end
-- lib: overtaken
-- Whether a poll's answer comes too late to be written: its poller has lost the lease meanwhile
-- (`fenced`), or the server was asked again later and that answer stands (`stale`), or this very one
-- was written before. `started` 0 is now. A poll without a fence is an operator's, or one that a
-- failed request has caused.
local function overtaken(id, fence, started, now)
  if fence ~= '' and call('GET', P .. 'sl:poll_fence') ~= fence then return 'fenced' end
  if started == 0 then return nil end
  local asked = tonumber(call('HGET', P .. 'sl:server:' .. id, 'asked') or '') or 0
  -- In the future it stands only where a clock went back.
  if started <= asked and asked <= now then return 'stale' end
  return nil
end
-- lib end

if call('EXISTS', P .. 'server:' .. id) == 0 then return { 'unknown' } end
local now = clock()
local late = overtaken(id, fence, started == 0 and 0 or started + 1, now)  -- the poll itself stands
if late then return { late } end
local answer = { 'adopted' }
for i = 7, #ARGV, 6 do
  local m, bridge = ARGV[i], ARGV[i + 3] or ''
  local created, users = math.min(tonumber(ARGV[i + 1] or '') or now, now), tonumber(ARGV[i + 2] or '') or 0
  local key = P .. 'meeting:' .. m
  if call('EXISTS', key) == 0 and not call('ZSCORE', P .. 'sl:released:' .. id, m) then
    if bridge ~= '' and call('HSETNX', P .. 'voice_bridges', bridge, m) == 0 then
      local owner = call('HGET', P .. 'voice_bridges', bridge)
      if call('EXISTS', P .. 'meeting:' .. owner) == 0 then
        call('HSET', P .. 'voice_bridges', bridge, m)
      end
    end
    call('HSET', key, 'server_id', id, 'moderator_pw', ARGV[i + 4] or '', 'voice_bridge', bridge,
      'tenant_id', ARGV[i + 5] or '')
    call('EXPIRE', key, ttl)
    local own = P .. 'sl:meeting:' .. m
    call('DEL', own)
    call('HSET', own, 'created', string.format('%.0f', created), 'users', users,
      'reserved', now - created < young and reserve or 0, 'missed', 0, 'creates', 1, 'seen', 1)
    call('EXPIRE', own, ttl)
    call('SADD', P .. 'meetings', m)
    call('ZADD', P .. 'sl:server_meetings:' .. id, string.format('%.0f', created), m)
    answer[#answer + 1] = m
  end
end
return answer
