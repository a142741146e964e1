-- apply_poll: what one server answered to a poll. Sets its load and figures, brings it online,
-- renews its meetings, releases those it no longer has, and tells which nobody has recorded.
--
-- KEYS[1]  key prefix
-- ARGV     1 server id
--          2 when the question was sent: ms by Redis' clock (TIME; 0: now); meetings assigned since
--            then count as they stand, listed or not
--          3 successes in a row that bring a server online (SERVER_HEALTHY_THRESHOLD)
--          4 people a young meeting counts for at least (LOAD_MIN_USER_COUNT)
--          5 ms for which a meeting is young (LOAD_JOIN_BUFFER_TIME)
--          6 seconds until the records expire unless renewed (DEFAULT_MEETING_TTL)
--          7 BBB version ('' = not known)   8 meetings   9 users   10 largest meeting   11 videos
--          12 the poller's fence ('' = none)
--          13 '1': what a meeting has reserved says nothing, ARGV 4 does (LOAD_ACCOUNTING=increment)
--          14… for each meeting that is no breakout room: meeting id, people, ms since 1970 when
--            its server created it
-- Returns  {online | offline, state, load, came online now: 1 or 0, number released, released
--          meeting id, …, unrecorded meeting id, …}; {unknown}; {fenced} or {stale}: too late,
--          nothing written
-- Repeat   sets the same figures; a meeting not listed is missed once more.
-- Rule     a meeting its server does not list in two polls in a row, and that is older than a
--          minute, has ended. A cordoned server without meetings becomes disabled. The state is
--          the one in Redis now, not the one when the poll began. What was released from this
--          server is not told as unrecorded for as long as the server lists it.
-- Cost     O(meetings of that server)

local P, call = KEYS[1] or '', redis.call
local id, started = ARGV[1] or '', tonumber(ARGV[2] or '') or 0
local threshold, reserve = tonumber(ARGV[3] or '') or 1, tonumber(ARGV[4] or '') or 15
local young, ttl = tonumber(ARGV[5] or '') or 900000, tonumber(ARGV[6] or '') or 86400
local fence, increment = ARGV[12] or '', ARGV[13] == '1'

-- lib: server
-- A server's record, or nil. Records of old Scalelites lack state: then server_enabled decides.
local function read_server(id)
  local v = call('HMGET', P .. 'server:' .. id,
    'url', 'secret', 'tag', 'state', 'online', 'load_multiplier')
  if not v[1] then return nil end
  local state = v[4]
  if not state or state == '' then
    state = call('SISMEMBER', P .. 'server_enabled', id) == 1 and 'enabled' or 'disabled'
  end
  local multiplier = tonumber(v[6])
  if not multiplier or multiplier <= 0 then multiplier = 1 end
  return { url = v[1], secret = v[2] or '', tag = v[3] or '', state = state,
    online = v[5] == 'true', multiplier = multiplier }
end
-- lib end
-- lib: load
-- A server's load stands in server_load (candidates: enabled and online) or in
-- cordoned_server_load, and for candidates once more in sl:tag_load:{tag}, which picks by tag
-- (where there are tags at all: see reindex).
local function set_load(id, s, load)
  local candidate = s.online and s.state == 'enabled'
  local cordoned = s.online and s.state == 'cordoned'
  if candidate then
    call('ZADD', P .. 'server_load', load, id)
    call('ZADD', P .. 'sl:tag_load:' .. s.tag, load, id)
    call('SADD', P .. 'sl:tags', s.tag)
  else
    call('ZREM', P .. 'server_load', id)
    call('ZREM', P .. 'sl:tag_load:' .. s.tag, id)
  end
  if cordoned then
    call('ZADD', P .. 'cordoned_server_load', load, id)
  else
    call('ZREM', P .. 'cordoned_server_load', id)
  end
end

-- Adds to wherever the load stands; never below zero, and no residue of floating point. A tag of
-- false says that there is no index to keep.
local function add_load(id, tag, delta)
  local set = P .. 'server_load'
  local new = call('ZADD', set, 'XX', 'INCR', delta, id)
  local candidate = new
  if not new then
    set = P .. 'cordoned_server_load'
    new = call('ZADD', set, 'XX', 'INCR', delta, id)
    if not new then return '' end
  end
  if tonumber(new) < 1e-9 then
    new = '0'
    call('ZADD', set, new, id)
  end
  if candidate and tag then call('ZADD', P .. 'sl:tag_load:' .. tag, 'XX', new, id) end
  return new
end
-- lib end
-- lib: meeting
-- What a meeting counts towards the load of its server: its people, at least what it reserved, and
-- what LOAD_ACCOUNTING=increment has counted beyond.
local function meeting_units(m)
  local v = call('HMGET', P .. 'sl:meeting:' .. m, 'users', 'reserved', 'extra')
  local users, reserved = tonumber(v[1]) or 0, tonumber(v[2]) or 0
  return (users > reserved and users or reserved) + (tonumber(v[3]) or 0)
end

-- Drops a meeting's records and gives its voice bridge back. The load is the caller's business.
local function drop_meeting(m, server_id, bridge)
  if bridge and bridge ~= '' and call('HGET', P .. 'voice_bridges', bridge) == m then
    call('HDEL', P .. 'voice_bridges', bridge)
  end
  call('DEL', P .. 'meeting:' .. m, P .. 'sl:meeting:' .. m)
  call('SREM', P .. 'meetings', m)
  if server_id then call('ZREM', P .. 'sl:server_meetings:' .. server_id, m) end
end
-- lib end
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

local s = read_server(id)
if not s then return { 'unknown' } end
local now, key, own = clock(), P .. 'server:' .. id, P .. 'sl:server:' .. id
local running = P .. 'sl:server_meetings:' .. id
local late = overtaken(id, fence, started, now)
if late then return { late } end
if started == 0 then started = now end

local gone, was_released = call('ZRANGE', P .. 'sl:released:' .. id, 0, -1, 'WITHSCORES'), {}
for i = 1, #gone, 2 do was_released[gone[i]] = true end
local known, is_known = call('ZRANGE', running, 0, -1, 'WITHSCORES'), {}
for i = 1, #known, 2 do is_known[known[i]] = true end
local total, listed, unrecorded = 0, {}, {}
for i = 14, #ARGV, 3 do
  local m, users = ARGV[i], tonumber(ARGV[i + 1] or '') or 0
  local notes_key, record = P .. 'sl:meeting:' .. m, P .. 'meeting:' .. m
  listed[m] = true
  local units, on = users, call('HGET', record, 'server_id')
  if on == id then
    if was_released[m] then call('ZREM', P .. 'sl:released:' .. id, m) end  -- created again since
    local notes = call('HMGET', notes_key, 'created', 'reserved', 'users', 'missed', 'seen')
    local created = tonumber(notes[1]) or tonumber(ARGV[i + 2] or '') or now
    local reserved = 0
    if now - created < young then reserved = not increment and tonumber(notes[2]) or reserve end
    if reserved > units then units = reserved end
    call('EXPIRE', record, ttl)
    -- Most have changed in nothing since the last poll.
    if tonumber(notes[2]) ~= reserved or tonumber(notes[3]) ~= users or notes[4] ~= '0'
      or not notes[5] or not notes[1] then
      call('HSET', notes_key, 'created', string.format('%.0f', created), 'users', users,
        'reserved', reserved, 'missed', 0, 'seen', 1)
      call('EXPIRE', notes_key, ttl)
    end
    if increment then call('HDEL', notes_key, 'extra') end
    if not is_known[m] then call('ZADD', running, string.format('%.0f', created), m) end
  elseif not on and was_released[m] then
    units = 0  -- on its way out
  else
    if now - (tonumber(ARGV[i + 2] or '') or now) < young and reserve > units then units = reserve end
    if not on then unrecorded[#unrecorded + 1] = m end
  end
  total = total + units
end

local released = {}
for i = 1, #known, 2 do
  local m, created = known[i], tonumber(known[i + 1])
  if not listed[m] then
    local record = call('HMGET', P .. 'meeting:' .. m, 'server_id', 'voice_bridge')
    if record[1] ~= id then
      call('ZREM', running, m)  -- expired, which sweep.lua sees to; or elsewhere
    else
      local began = math.max(created,
        tonumber(call('HGET', P .. 'sl:meeting:' .. m, 'again') or '') or 0)
      local missed = 0
      if began < started then missed = call('HINCRBY', P .. 'sl:meeting:' .. m, 'missed', 1) end
      if now - began > 60000 and missed >= 2 then
        drop_meeting(m, id, record[2])
        released[#released + 1] = m
      else
        -- Whatever is recorded weighs: its end takes the same off again.
        total = total + meeting_units(m)
      end
    end
  end
end

-- Released, and by now not listed any more: if it comes back, it is another.
for i = 1, #gone, 2 do
  if not listed[gone[i]] and tonumber(gone[i + 1]) < started then
    call('ZREM', P .. 'sl:released:' .. id, gone[i])
  end
end

local online_before = s.online
local streak = call('HINCRBY', own, 'healthy', 1)
-- It is not polled for a failed request again within a second.
call('HSET', own, 'unhealthy', 0, 'polled', string.format('%.0f', now),
  'asked', string.format('%.0f', started), 'probe_from', string.format('%.0f', now + 1000))
call('HDEL', own, 'probe_until')
call('SREM', P .. 'sl:suspects', id)
if streak >= threshold then s.online = true end
if s.online then call('HDEL', own, 'offline_since', 'lost') end
if s.state == 'cordoned' and call('ZCARD', running) == 0 and (tonumber(ARGV[8] or '') or 0) == 0 then
  s.state = 'disabled'
  call('HSET', key, 'state', 'disabled')
end
local load = total * s.multiplier
call('HSET', key, 'online', tostring(s.online), 'meetings', ARGV[8] or 0, 'users', ARGV[9] or 0,
  'largest_meeting', ARGV[10] or 0, 'videos', ARGV[11] or 0)
if ARGV[7] and ARGV[7] ~= '' then call('HSET', key, 'bbb_version', ARGV[7]) end
set_load(id, s, load)

local answer = { s.online and 'online' or 'offline', s.state, tostring(load),
  (s.online and not online_before) and '1' or '0', tostring(#released) }
for _, m in ipairs(released) do answer[#answer + 1] = m end
for _, m in ipairs(unrecorded) do answer[#answer + 1] = m end
return answer
