-- apply_poll: writes what a server answered to a poll.
-- Sets its load and figures, brings it online, renews the records of its meetings, releases those it no
-- longer has, and returns those without one.
--
-- KEYS[1]  key prefix
-- ARGV     1 server             server id
--          2 started_ms         when the poll was sent, ms by Redis' clock (0: now); meetings assigned
--                               since then count as recorded, listed or not
--          3 healthy_threshold  successes in a row that bring it online (SERVER_HEALTHY_THRESHOLD)
--          4 reserve            participants a young meeting counts for at least (LOAD_MIN_USER_COUNT)
--          5 young_ms           a meeting is young for this long (LOAD_JOIN_BUFFER_TIME)
--          6 ttl_seconds        until the records expire unless renewed (DEFAULT_MEETING_TTL)
--          7 version            BBB version ('' = unknown)
--          8 meetings           number of meetings
--          9 users              participants in all of them
--          10 largest           participants in the largest one
--          11 videos            cameras
--          12 fence             the poller's fence ('' = none)
--          13 increment         '1': LOAD_ACCOUNTING=increment; a young meeting counts for `reserve`,
--                               whatever its create reserved
--          14 part              '' or absent: the only part of the list. A long list comes in parts:
--                               `more`, each time but the last, and `last`, all with one started_ms.
--          15 adopted           '1': what can be adopted of its meetings has been; `pending`: not, and
--                               earlier parts had unrecorded ones
--          16… listed           for each meeting: id, participants, ms since 1970 when its server
--                               created it, or `breakout`: a room counts only if it is recorded
-- Returns  {online | offline, state, load, came online now: 1 or 0, number released, released
--          meeting id, …, number elsewhere, meeting id, server id of its record, …, unrecorded
--          meeting id, …}. Elsewhere: the record names another server, whose last poll listed it.
--          {more, number elsewhere, meeting id, server id, …, unrecorded meeting id, …};
--          {adopt_first, unrecorded meeting id, …}: it is offline and becomes a candidate only once
--          its meetings are adopted; repeat all parts with `adopted`; {unknown}; {fenced} or {stale}:
--          too late, nothing written
-- Keys     writes server:{id}, server_load, cordoned_server_load, meeting:{id}, meetings, voice_bridges,
--          sl:server:{id}, sl:internal_ids, sl:meeting:{id}, sl:server_meetings:{id}, sl:released:{id},
--          sl:suspects, sl:poll_part:{id}, sl:foreign_poller, sl:unpolled, sl:tag_load:{tag}, sl:tags; reads
--          server_enabled, sl:poll_fence, sl:ending:{id}
-- Repeat   sets the same figures; a meeting not listed is missed once more.
-- Rule     a meeting has ended when its server has not listed it in two polls in a row and it is
--          older than a minute. A cordoned server without meetings becomes disabled. The state is
--          the one in Redis now, not the one when the poll began. A meeting that was released from
--          this server is not returned as unrecorded while the server lists it; it counts, unless the
--          server has ended it in the last two minutes. After a part, nothing is released or counted
--          yet; if the others never come, the next poll does all of it.
-- Cost     O(meetings of that server); a part: O(its meetings)

local P, call = KEYS[1] or '', redis.call
local id, started = ARGV[1] or '', tonumber(ARGV[2] or '') or 0
local threshold, reserve = tonumber(ARGV[3] or '') or 1, tonumber(ARGV[4] or '') or 15
local young, ttl = tonumber(ARGV[5] or '') or 900000, tonumber(ARGV[6] or '') or 86400
local fence, increment, part = ARGV[12] or '', ARGV[13] == '1', ARGV[14] or ''
-- @include clock, drop_meeting, figures_of, meeting_weight, ms, note_figures, poll_rejected
-- @include read_server, set_load

local s = read_server(id)
if not s then return { 'unknown' } end
local now, key, own = clock(), P .. 'server:' .. id, P .. 'sl:server:' .. id
local running = P .. 'sl:server_meetings:' .. id
local rejected = poll_rejected(id, fence, started, now)
if rejected then return { rejected } end
if started == 0 then started = now end

local gone, was_released = call('ZRANGE', P .. 'sl:released:' .. id, 0, -1, 'WITHSCORES'), {}
for i = 1, #gone, 2 do was_released[gone[i]] = true end
local ending = {}
if #gone > 0 then
  local since = ms(now - 120000)
  for _, m in ipairs(call('ZRANGEBYSCORE', P .. 'sl:ending:' .. id, since, '+inf')) do ending[m] = true end
end
local known, is_known = call('ZRANGE', running, 0, -1, 'WITHSCORES'), {}
for i = 1, #known, 2 do is_known[known[i]] = true end
local total, listed, unrecorded, elsewhere = 0, {}, {}, {}
-- What the parts before the last have found: id → r (recorded here) or s, and the weight.
local parts, found = P .. 'sl:poll_part:' .. id .. ':' .. ms(started), {}
if part == 'last' then
  local earlier = call('HGETALL', parts)
  for i = 1, #earlier, 2 do
    local m, recorded = earlier[i], earlier[i + 1]:sub(1, 1) == 'r'
    listed[m] = true
    if recorded ~= (is_known[m] == true) then
      -- Ended, or created here, since that part was written.
      if is_known[m] then total = total + meeting_weight(m) end
    else
      total = total + tonumber(earlier[i + 1]:sub(2))
    end
  end
end
for i = 16, #ARGV, 3 do
  local m, users = ARGV[i], tonumber(ARGV[i + 1] or '') or 0
  local notes_key, record = P .. 'sl:meeting:' .. m, P .. 'meeting:' .. m
  listed[m] = true
  local weight, on = users, call('HGET', record, 'server_id')
  if on == id then
    if was_released[m] then call('ZREM', P .. 'sl:released:' .. id, m) end  -- created again since
    local notes = call('HMGET', notes_key, 'created', 'reserved', 'users', 'missed', 'seen')
    local created = tonumber(notes[1]) or tonumber(ARGV[i + 2] or '') or now
    local reserved = 0
    if now - created < young then reserved = not increment and tonumber(notes[2]) or reserve end
    if reserved > weight then weight = reserved end
    call('EXPIRE', record, ttl)
    -- Most meetings have not changed since the last poll.
    if tonumber(notes[2]) ~= reserved or tonumber(notes[3]) ~= users or notes[4] ~= '0'
      or not notes[5] or not notes[1] then
      call('HSET', notes_key, 'created', ms(created), 'users', users,
        'reserved', reserved, 'missed', 0, 'seen', 1)
      call('EXPIRE', notes_key, ttl)
    end
    if increment then call('HDEL', notes_key, 'extra') end
    if not is_known[m] then call('ZADD', running, ms(created), m) end
  elseif ARGV[i + 2] == 'breakout' then
    weight = 0  -- made by BBB itself
  elseif not on and was_released[m] then
    if ending[m] then weight = 0 end
  else
    if now - (tonumber(ARGV[i + 2] or '') or now) < young and reserve > weight then weight = reserve end
    if not on then unrecorded[#unrecorded + 1] = m end
  end
  if on and on ~= id and ARGV[i + 2] ~= 'breakout' then
    local notes = call('HMGET', notes_key, 'seen', 'missed')
    if notes[1] and notes[2] == '0' then
      elsewhere[#elsewhere + 1] = m
      elsewhere[#elsewhere + 1] = on
    end
  end
  total = total + weight
  if part == 'more' then
    found[#found + 1] = m
    found[#found + 1] = (on == id and 'r' or 's') .. weight
  end
end
if part == 'more' then
  if #found > 0 then call('HSET', parts, unpack(found)) end
  call('EXPIRE', parts, 60)
  local answer = { 'more', tostring(#elsewhere / 2) }
  for _, v in ipairs(elsewhere) do answer[#answer + 1] = v end
  for _, m in ipairs(unrecorded) do answer[#answer + 1] = m end
  return answer
end
if not s.online and ARGV[15] ~= '1' and (#unrecorded > 0 or ARGV[15] == 'pending') then
  return { 'adopt_first', unpack(unrecorded) }
end
if part == 'last' then call('DEL', parts) end

local released = {}
for i = 1, #known, 2 do
  local m, created = known[i], tonumber(known[i + 1])
  if not listed[m] then
    local record = call('HMGET', P .. 'meeting:' .. m, 'server_id', 'voice_bridge')
    if record[1] ~= id then
      call('ZREM', running, m)  -- its record has expired (sweep.lua does the rest), or it is elsewhere
    else
      local began = math.max(created,
        tonumber(call('HGET', P .. 'sl:meeting:' .. m, 'again') or '') or 0)
      local missed = 0
      if began < started then missed = call('HINCRBY', P .. 'sl:meeting:' .. m, 'missed', 1) end
      if now - began > 60000 and missed >= 2 then
        drop_meeting(m, id, record[2])
        released[#released + 1] = m
      else
        -- Every recorded meeting counts, since its release will subtract as much.
        total = total + meeting_weight(m)
      end
    end
  end
end

-- Released, and not listed any more: if a meeting with this id is listed later, it is a new one.
for i = 1, #gone, 2 do
  if not listed[gone[i]] and tonumber(gone[i + 1]) < started then
    call('ZREM', P .. 'sl:released:' .. id, gone[i])
  end
end

local online_before = s.online
local streak = call('HINCRBY', own, 'healthy', 1)
-- A failed request causes no poll of it within the next second.
call('HSET', own, 'unhealthy', 0, 'polled', ms(now), 'asked', ms(started), 'probe_from', ms(now + 1000))
call('HDEL', own, 'probe_until')
call('SREM', P .. 'sl:suspects', id)
call('ZREM', P .. 'sl:unpolled', id)
if streak >= threshold then s.online = true end
if s.online then call('HDEL', own, 'offline_since', 'lost') end
if s.state == 'cordoned' and call('ZCARD', running) == 0 and (tonumber(ARGV[8] or '') or 0) == 0 then
  s.state = 'disabled'
  call('HSET', key, 'state', 'disabled')
end
local load = total * s.multiplier
local ours = call('HGET', own, 'figures')
if ours and ours ~= figures_of(id) then call('SET', P .. 'sl:foreign_poller', id, 'EX', 600) end
call('HSET', key, 'online', tostring(s.online), 'meetings', ARGV[8] or 0, 'users', ARGV[9] or 0,
  'largest_meeting', ARGV[10] or 0, 'videos', ARGV[11] or 0)
note_figures(id)
if ARGV[7] and ARGV[7] ~= '' then call('HSET', key, 'bbb_version', ARGV[7]) end
set_load(id, s, load)

local answer = { s.online and 'online' or 'offline', s.state, tostring(load),
  (s.online and not online_before) and '1' or '0', tostring(#released) }
for _, m in ipairs(released) do answer[#answer + 1] = m end
answer[#answer + 1] = tostring(#elsewhere / 2)
for _, v in ipairs(elsewhere) do answer[#answer + 1] = v end
for _, m in ipairs(unrecorded) do answer[#answer + 1] = m end
return answer
