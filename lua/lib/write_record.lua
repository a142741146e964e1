-- Writes the record of a meeting, and lists it with all meetings and with those of its server.
-- `created` is a time as digits.
local function write_record(m, server_id, created, r)
  local key = P .. 'meeting:' .. m
  call('HSET', key, 'server_id', server_id, 'moderator_pw', r.password, 'voice_bridge', r.bridge,
    'tenant_id', r.tenant)
  call('EXPIRE', key, r.ttl)
  call('SADD', P .. 'meetings', m)
  call('ZADD', P .. 'sl:server_meetings:' .. server_id, created, m)
end
