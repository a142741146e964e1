-- Every meeting whose record names this server. Walks all of `meetings`: for rare commands only.
local function meetings_of(server_id)
  local found = {}
  for _, m in ipairs(call('SMEMBERS', P .. 'meetings')) do
    local v = call('HMGET', P .. 'meeting:' .. m, 'server_id', 'voice_bridge', 'moderator_pw')
    if v[1] == server_id then
      found[#found + 1] = { id = m, bridge = v[2] or '', moderator_pw = v[3] or '' }
    end
  end
  return found
end
