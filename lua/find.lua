-- find: where a meeting runs. Writes nothing.
--
-- KEYS[1]  key prefix
-- ARGV     1 meeting id
-- Returns  {found, server id, url, secret, tag, state, online, voice bridge, moderator password,
--          generation} or {unknown}; a record whose server has left the pool is unknown too
-- Cost     O(1)

local P, call = KEYS[1] or '', redis.call
local id = ARGV[1] or ''

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

local record = call('HMGET', P .. 'meeting:' .. id, 'server_id', 'voice_bridge', 'moderator_pw')
local s = record[1] and read_server(record[1])
if not s then return { 'unknown' } end
local generation = call('HGET', P .. 'sl:meeting:' .. id, 'creates')
return { 'found', record[1], s.url, s.secret, s.tag, s.state, tostring(s.online), record[2] or '',
  record[3] or '', generation or '0' }
