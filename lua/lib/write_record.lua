-- Writes the record of a meeting, and lists it with all meetings and with those of its server.
-- `created` is a time as digits. The internal id begins with the SHA-1 of the meeting id.
local function write_record(m, server_id, created, r)
  local key = P .. 'meeting:' .. m
  call('HSET', key, 'server_id', server_id, 'moderator_pw', r.password, 'voice_bridge', r.bridge,
    'tenant_id', r.tenant)
  call('EXPIRE', key, r.ttl)
  call('SADD', P .. 'meetings', m)
  call('HSET', P .. 'sl:internal_ids', redis.sha1hex(m), m)
  call('ZADD', P .. 'sl:server_meetings:' .. server_id, created, m)
end
