-- The figures of a server that only a poller writes, as one text.
local function figures_of(server_id)
  local v = call('HMGET', P .. 'server:' .. server_id, 'online', 'meetings', 'users', 'largest_meeting',
    'videos')
  return table.concat({ v[1] or '', v[2] or '', v[3] or '', v[4] or '', v[5] or '' }, ' ')
end
