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
