-- The load of a server; false unless it is online and enabled or cordoned.
local function current_load(id)
  return call('ZSCORE', P .. 'server_load', id) or call('ZSCORE', P .. 'cordoned_server_load', id)
end
