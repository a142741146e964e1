-- reassign: puts a meeting on another server, as one step: its load goes from the one to the other. For
-- a create whose server failed, and for a record whose server does not run the meeting any more.
--
-- KEYS[1]  key prefix
-- ARGV     1 meeting id   2 the server that it is to leave   3 tag argument, as for assign.lua
--          4 reserve   5 seconds until the record expires
--          6 '1': any server will do when the pool has no untagged server at all
--          7 why: `failed`, a create did. It moves only if nobody can be in it: recorded for less
--            than two minutes, nobody joined, no poll has seen it; and the server is held back from
--            new meetings for a while, where there are others.
--            `stale`, the server does not have it. It moves unless its first create may still be
--            under way: recorded for less than 15 seconds, nobody joined, no poll has seen it.
--            `gone`: it moves
--          8… servers not to pick
-- Returns  {outcome, server id, url, secret, tag, voice bridge, moderator password, generation,
--          standing}:
--          moved            recorded there now
--          existing         somebody else has moved it meanwhile
--          none             no other candidate: nothing moved         (outcome alone)
--          tag_unavailable  no other with a required tag: the same    (outcome, tag list)
--          kept             it must not move: nothing changed         (outcome alone)
--          unknown          no such record                            (outcome alone)
-- Repeat   answers existing with the same server.
-- Cost     as assign.lua

local P, call = KEYS[1] or '', redis.call
local id, from = ARGV[1] or '', ARGV[2] or ''
local tag_argument = ARGV[3] or ''
local reserve = tonumber(ARGV[4] or '') and ARGV[4] or '15'
local ttl = tonumber(ARGV[5] or '') or 86400
local any_if_no_untagged, why = ARGV[6] == '1', ARGV[7] or ''
if why ~= 'failed' and why ~= 'stale' and why ~= 'gone' then
  return redis.error_reply('ERR reassign: ARGV[7] must be failed, stale or gone')
end

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
-- lib: clock
-- Milliseconds since 1970 by Redis' own clock: one clock for all replicas.
local function clock()
  local t = call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
-- lib end
-- lib: index
-- Makes sl:tag_load:* anew from what servers, server:{id} and server_load say. O(servers). In a
-- pool without any tag, server_load itself is all there is to know, and there is no index.
local function reindex(now)
  for _, tag in ipairs(call('SMEMBERS', P .. 'sl:tags')) do
    call('DEL', P .. 'sl:tag_load:' .. tag)
  end
  call('DEL', P .. 'sl:tags', P .. 'sl:tag_load:')
  local servers, tags, untagged, tagged = call('SMEMBERS', P .. 'servers'), {}, 0, 0
  for _, id in ipairs(servers) do
    local v = call('HMGET', P .. 'server:' .. id, 'url', 'tag')
    if v[1] then
      tags[id] = v[2] or ''
      if tags[id] == '' then untagged = untagged + 1 else tagged = tagged + 1 end
    end
  end
  if tagged > 0 then
    for id, tag in pairs(tags) do
      local load = call('ZSCORE', P .. 'server_load', id)
      if load then
        call('ZADD', P .. 'sl:tag_load:' .. tag, load, id)
        call('SADD', P .. 'sl:tags', tag)
      end
    end
  end
  call('HSET', P .. 'sl:index', 'built', string.format('%.0f', now), 'servers', #servers,
    'candidates', call('ZCARD', P .. 'server_load'), 'untagged', untagged, 'tagged', tagged)
  return #servers
end
-- lib end
-- lib: released
-- Notes that a meeting was released from a server, which may list it for a while yet: a poll must
-- not take it for one that was lost. apply_poll forgets it once the server does not list it.
local function note_released(m, server_id, now)
  call('ZADD', P .. 'sl:released:' .. server_id, string.format('%.0f', now), m)
  call('EXPIRE', P .. 'sl:released:' .. server_id, 86400)
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
-- lib: pick
-- The first over these sorted sets that is not in `out`, and the set that it is in: looks a little
-- further into each. Ties are taken in turn.
local function first_without(sets, out, count)
  local min, ties = nil, {}
  for _, set in ipairs(sets) do
    local head = call('ZRANGE', set, 0, count + 15, 'WITHSCORES')
    for i = 1, #head, 2 do
      local score = tonumber(head[i + 1])
      if not out[head[i]] then
        if not min or score < min then min, ties = score, { { head[i], set } }
        elseif score == min then ties[#ties + 1] = { head[i], set } end
      end
    end
  end
  if not min then return nil end
  local rank = 0
  if #ties > 1 then rank = call('INCR', P .. 'sl:turn') % #ties end
  return ties[rank + 1][1], ties[rank + 1][2], min
end

-- The least loaded candidate for a tag argument, never one of `excluded` (id → true, or nil).
-- Servers held back after a failed create (sl:held) are taken only where there is no other. Returns
-- the server's id and record, or nil; whether there is an index by tag; and the tags, where they are
-- required.
local function pick(tag_argument, any_if_no_untagged, now, excluded)
  -- The index is remade when it is old, or when somebody changed the number of candidates. In a
  -- pool without tags nothing is read from it, and so it need not be looked at as closely.
  local index = call('HMGET', P .. 'sl:index', 'built', 'servers', 'candidates', 'untagged', 'tagged')
  local age = now - (tonumber(index[1]) or 0)
  local rebuilt = false
  local function heal()
    reindex(now)
    rebuilt = true
    index = call('HMGET', P .. 'sl:index', 'built', 'servers', 'candidates', 'untagged', 'tagged')
  end
  if age < 0 or age > 5000 + (tonumber(index[2]) or 0)
    or (index[5] ~= '0' and call('ZCARD', P .. 'server_load') ~= tonumber(index[3])) then
    heal()
  end

  -- The first over these sorted sets, and the set that it is in; ties are taken in turn.
  local function first(sets)
    local min, ties = nil, {}
    for _, set in ipairs(sets) do
      local head = call('ZRANGE', set, 0, 0, 'WITHSCORES')
      local score = tonumber(head[2])
      if score and (not min or score < min) then min, ties = score, { { set, head[2], 0, head[1] } }
      elseif score and score == min then ties[#ties + 1] = { set, head[2], 0, head[1] } end
    end
    if not min then return nil end
    local total = 0
    for _, t in ipairs(ties) do
      t[3] = call('ZCOUNT', t[1], t[2], t[2])
      total = total + t[3]
    end
    local rank = 0
    if total > 1 then rank = call('INCR', P .. 'sl:turn') % total end
    for _, t in ipairs(ties) do
      if rank < t[3] then
        return rank == 0 and t[4] or call('ZRANGE', t[1], rank, rank)[1], t[1], min
      end
      rank = rank - t[3]
    end
  end

  -- What the index says is checked against the hashes, put right if it was wrong, and then the pick
  -- is made again.
  local function least(sets, out, count)
    for _ = 1, 64 do
      local picked, set, min
      if out then picked, set, min = first_without(sets, out, count)
      else picked, set, min = first(sets) end
      if not picked then return nil end
      local s = read_server(picked)
      if set == P .. 'server_load' then
        if s then return picked, s end
        call('ZREM', set, picked)  -- a candidate without a record: nobody can be sent there
      else
        local load = call('ZSCORE', P .. 'server_load', picked)
        if s and load and tonumber(load) == min and set == P .. 'sl:tag_load:' .. s.tag then
          return picked, s
        end
        call('ZREM', set, picked)
        if s and load then
          call('ZADD', P .. 'sl:tag_load:' .. s.tag, load, picked)
          call('SADD', P .. 'sl:tags', s.tag)
        end
      end
    end
    return nil
  end

  local required = tag_argument:sub(-1) == '!'
  local list = required and tag_argument:sub(1, -2) or tag_argument
  local tagged, untagged = {}, { P .. 'sl:tag_load:' }
  for tag in list:gmatch('[^;]+') do
    if tag ~= 'none' then tagged[#tagged + 1] = P .. 'sl:tag_load:' .. tag
    elseif index[5] == '0' then tagged[#tagged + 1] = P .. 'server_load'
    else tagged[#tagged + 1] = P .. 'sl:tag_load:' end
  end

  local function choose(out, count)
    if #tagged > 0 then
      local server_id, s = least(tagged, out, count)
      if server_id or required then return server_id, s end
    end
    local server_id, s
    if index[5] == '0' then
      server_id, s = least({ P .. 'server_load' }, out, count)
      -- Somebody has given it a tag by hand.
      if s and s.tag ~= '' then
        heal()
        server_id, s = least(untagged, out, count)
      end
    else
      server_id, s = least(untagged, out, count)
    end
    if not server_id and any_if_no_untagged and (tonumber(index[4]) or 0) == 0 then
      server_id, s = least({ P .. 'server_load' }, out, count)
    end
    return server_id, s
  end

  local server_id, s
  local count = 0
  for _ in pairs(excluded or {}) do count = count + 1 end
  if call('EXISTS', P .. 'sl:held') == 1 then
    local out, total = {}, count
    for id in pairs(excluded or {}) do out[id] = true end
    call('ZREMRANGEBYSCORE', P .. 'sl:held', '-inf', string.format('%.0f', now))
    for _, id in ipairs(call('ZRANGE', P .. 'sl:held', 0, -1)) do out[id], total = true, total + 1 end
    server_id, s = choose(out, total)
  end
  if not server_id then server_id, s = choose(excluded, count) end
  if not server_id and not rebuilt and age > 1000 then
    heal()
    server_id, s = choose(excluded, count)
  end
  return server_id, s, index[5] ~= '0', #tagged > 0 and required and list or nil
end
-- lib end
-- lib: record
-- Writes the record of a meeting on a server, and counts what it reserves. `indexed` as pick says.
local function record_meeting(m, server_id, s, r, indexed)
  local key, created = P .. 'meeting:' .. m, string.format('%.0f', r.now)
  call('HSET', key, 'server_id', server_id, 'moderator_pw', r.password, 'voice_bridge', r.bridge,
    'tenant_id', r.tenant)
  call('EXPIRE', key, r.ttl)
  -- These notes go with the record; the first poll gives them their own time to live.
  call('HSET', P .. 'sl:meeting:' .. m, 'created', created, 'reserved', r.reserve, 'users', '0',
    'creates', r.generation, 'missed', '0')
  call('SADD', P .. 'meetings', m)
  call('ZADD', P .. 'sl:server_meetings:' .. server_id, created, m)
  add_load(server_id, indexed and s.tag, r.reserve * s.multiplier)
end
-- lib end

local now, own = clock(), P .. 'sl:meeting:' .. id
if why == 'failed' and call('EXISTS', P .. 'server:' .. from) == 1 then
  -- Ten seconds, and longer each time while it goes on failing, up to two minutes.
  local notes = call('HMGET', P .. 'sl:server:' .. from, 'held', 'held_at')
  local times, before = tonumber(notes[1]) or 0, now - (tonumber(notes[2]) or 0)
  -- What failed at the same time is one failure.
  if before > 1000 then
    times = before > 300000 and 1 or times + 1
    call('HSET', P .. 'sl:server:' .. from, 'held', times, 'held_at', string.format('%.0f', now))
  end
  call('ZADD', P .. 'sl:held', string.format('%.0f', now + math.min(10000 * times, 120000)), from)
end

local record = call('HMGET', P .. 'meeting:' .. id, 'server_id', 'voice_bridge', 'moderator_pw',
  'tenant_id')
if not record[1] then return { 'unknown' } end
if record[1] ~= from then
  local s = read_server(record[1])
  if not s then return { 'unknown' } end
  if why == 'failed' then call('HINCRBY', own, 'failed', 1) end
  return { 'existing', record[1], s.url, s.secret, s.tag, record[2] or '', record[3] or '',
    tostring(call('HINCRBY', own, 'creates', 1)), s.online and s.state or 'offline' }
end
local notes = call('HMGET', own, 'created', 'users', 'seen', 'creates', 'failed')
local age = now - (tonumber(notes[1]) or 0)
local untouched = notes[2] == '0' and not notes[3]
if why == 'failed' and (age > 120000 or not untouched) then return { 'kept' } end
if why == 'stale' and age < 15000 and untouched then return { 'kept' } end

local excluded = { [from] = true }
for i = 8, #ARGV do excluded[ARGV[i]] = true end
local server_id, picked, indexed, tags = pick(tag_argument, any_if_no_untagged, now, excluded)
if not server_id then
  if tags then return { 'tag_unavailable', tags } end
  return { 'none' }
end
local s = read_server(from)
if s then add_load(from, s.tag, -meeting_units(id) * s.multiplier) end
call('ZREM', P .. 'sl:server_meetings:' .. from, id)
call('DEL', own)
note_released(id, from, now)  -- should it have been made there all the same
local bridge, password, generation = record[2] or '', record[3] or '', (tonumber(notes[4]) or 0) + 1
record_meeting(id, server_id, picked, { now = now, password = password, bridge = bridge,
  tenant = record[4] or '', ttl = ttl, reserve = reserve, generation = generation }, indexed)
if why == 'failed' then call('HSET', own, 'failed', (tonumber(notes[5]) or 0) + 1) end
return { 'moved', server_id, picked.url, picked.secret, picked.tag, bridge, password,
  tostring(generation), 'enabled' }
