-- online: every server that is online, whatever its state: those that getMeetings asks.
-- Writes nothing.
--
-- KEYS[1]  key prefix
-- Returns  {server id, url, secret, server id, …}
-- Cost     O(servers)

local P, call = KEYS[1] or '', redis.call

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

local answer = {}
for _, id in ipairs(call('SMEMBERS', P .. 'servers')) do
  local s = read_server(id)
  if s and s.online then
    for _, v in ipairs({ id, s.url, s.secret }) do answer[#answer + 1] = v end
  end
end
return answer
