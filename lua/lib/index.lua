-- Makes sl:tag_load:* anew from what servers, server:{id} and server_load say. O(servers).
local function reindex(now)
  for _, tag in ipairs(call('SMEMBERS', P .. 'sl:tags')) do
    call('DEL', P .. 'sl:tag_load:' .. tag)
  end
  call('DEL', P .. 'sl:tags')
  local servers, untagged = call('SMEMBERS', P .. 'servers'), 0
  for _, id in ipairs(servers) do
    local v = call('HMGET', P .. 'server:' .. id, 'url', 'tag')
    if v[1] then
      local tag = v[2] or ''
      if tag == '' then untagged = untagged + 1 end
      local load = call('ZSCORE', P .. 'server_load', id)
      if load then
        call('ZADD', P .. 'sl:tag_load:' .. tag, load, id)
        call('SADD', P .. 'sl:tags', tag)
      end
    end
  end
  call('HSET', P .. 'sl:index', 'built', string.format('%.0f', now), 'servers', #servers,
    'candidates', call('ZCARD', P .. 'server_load'), 'untagged', untagged)
  return #servers
end
