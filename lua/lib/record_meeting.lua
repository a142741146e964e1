-- @include add_load, ms, write_record

-- Records a new meeting on a server and adds its reservation to the load. `indexed` as pick returns it.
local function record_meeting(m, server_id, s, r, indexed)
  local created = ms(r.now)
  write_record(m, server_id, created, r)
  -- sl:meeting:{id} is deleted with the record; the first poll sets its expiry.
  call('HSET', P .. 'sl:meeting:' .. m, 'created', created, 'reserved', r.reserve, 'users', '0',
    'creates', r.generation, 'missed', '0')
  add_load(server_id, indexed and s.tag, r.reserve * s.multiplier)
end
