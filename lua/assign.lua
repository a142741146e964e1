-- assign: chooses the server for a create and records the meeting there.
-- Finds the meeting's server, or picks the least loaded candidate, in one step.
--
-- KEYS[1]  key prefix, such as `scalelite:` (absent: none)
-- ARGV     1 meeting             meeting id
--          2 tag                 '' or '!': untagged servers only; `a;b`: servers tagged a or b (`none` =
--                                untagged), falling back to untagged ones; `a;b!`: the same, or refuse
--          3 reserve             participants it counts for until they have joined (default 15)
--          4 ttl_seconds         until the record expires unless renewed (default 86400)
--          5 moderator_pw        moderator password to record for a new meeting
--          6 tenant              tenant id to record ('' without tenancy)
--          7 any_if_no_untagged  '1': if the pool has no untagged server at all, any server will do
--          8 asked               '1': no server that the caller asked has the meeting
--          9… voice_bridges      voice bridges to try, in order; without any, none is allocated
-- Returns  {outcome, server id, url, secret, tag, voice bridge, moderator password, generation,
--          availability}, all strings:
--          assigned         picked and recorded now, load counted
--          existing         recorded before, on a server that is in the pool and not abandoned. Its
--                           availability is enabled, cordoned, disabled or offline; on a cordoned or
--                           disabled one, check whether the meeting runs there: if not, reassign.lua
--          ask              no record, and there are servers whose meetings are unknown: ask the servers
--                           for the meeting and adopt it, or repeat with `asked`  (outcome alone)
--          none             no candidate                        (outcome alone)
--          tag_unavailable  no candidate with a required tag    (outcome, tag list)
--          no_voice_bridge  every voice bridge offered is taken (outcome alone; nothing written)
-- Keys     writes meeting:{id}, meetings, voice_bridges, server_load, cordoned_server_load,
--          sl:internal_ids, sl:meeting:{id}, sl:server_meetings:{id}, sl:tag_load:{tag}, sl:tags, sl:index,
--          sl:turn, sl:held, sl:unpolled; reads server:{id}, servers, server_enabled, sl:server:{id}
-- Errors   no meeting id
-- Repeat   returns existing with the same server; only the generation grows. (It counts the creates
--          of this record; release.lua compares it.)
-- Cost     O(log servers) for each tag; every few seconds one run also rebuilds the index by tag,
--          which corrects it after records were edited by hand

local P, call = KEYS[1] or '', redis.call
local id = ARGV[1]
if not id or id == '' then return redis.error_reply('ERR assign: ARGV[1], the meeting id, is missing') end
local tag_argument = ARGV[2] or ''
local reserve = tonumber(ARGV[3] or '') and ARGV[3] or '15'
local ttl = tonumber(ARGV[4] or '') or 86400
local password, tenant, any_if_no_untagged = ARGV[5] or '', ARGV[6] or '', ARGV[7] == '1'
-- @include claim_bridge, clock, count_create, read_server

local key, own = P .. 'meeting:' .. id, P .. 'sl:meeting:' .. id
local record = call('HMGET', key, 'server_id', 'voice_bridge', 'moderator_pw')

-- The first voice bridge offered that is free, '' if none is offered, nil if all are taken.
local function voice_bridge()
  if #ARGV < 9 then return '' end
  for i = 9, #ARGV do
    if claim_bridge(ARGV[i], id) then return ARGV[i] end
  end
  return nil
end

local s = record[1] and read_server(record[1])
-- An abandoned server: a meeting that is still recorded there must run elsewhere.
if s and not s.online and call('HGET', P .. 'sl:server:' .. record[1], 'lost') == '1' then s = nil end
if s then
  local bridge = record[2]
  if not bridge or bridge == '' then
    bridge = voice_bridge() or ''
    call('HSET', key, 'voice_bridge', bridge)
  end
  return { 'existing', record[1], s.url, s.secret, s.tag, bridge, record[3] or '',
    count_create(own, ttl), s.online and s.state or 'offline' }
end

-- Only here: a create of a meeting that is recorded does not pay for these functions.
-- @include ms, pick, record_meeting

local now = clock()
if not record[1] and ARGV[8] ~= '1' and call('EXISTS', P .. 'sl:unpolled') == 1 then
  call('ZREMRANGEBYSCORE', P .. 'sl:unpolled', '-inf', ms(now))
  if call('EXISTS', P .. 'sl:unpolled') == 1 then return { 'ask' } end
end
local server_id, picked, indexed, tags = pick(tag_argument, any_if_no_untagged, now, nil)
if not server_id then
  if tags then return { 'tag_unavailable', tags } end
  return { 'none' }
end

-- A record whose server left the pool keeps its voice bridge, password and generation.
local bridge, generation = record[2], 1
if not bridge or bridge == '' then bridge = voice_bridge() end
if not bridge then return { 'no_voice_bridge' } end
if record[3] and record[3] ~= '' then password = record[3] end
if record[1] then
  call('ZREM', P .. 'sl:server_meetings:' .. record[1], id)
  generation = (tonumber(call('HGET', own, 'creates') or '') or 0) + 1
  call('DEL', own)
end
record_meeting(id, server_id, picked, { now = now, password = password, bridge = bridge,
  tenant = tenant, ttl = ttl, reserve = reserve, generation = generation }, indexed)
return { 'assigned', server_id, picked.url, picked.secret, picked.tag, bridge, password,
  tostring(generation), 'enabled' }
