-- @include ms

-- Rebuilds sl:tag_load:* from servers, server:{id} and server_load. O(servers). A pool without tags
-- needs no such index: server_load says everything.
local function rebuild_index(now)
  for _, tag in ipairs(call('SMEMBERS', P .. 'sl:tags')) do
    call('DEL', P .. 'sl:tag_load:' .. tag)
  end
  call('DEL', P .. 'sl:tags', P .. 'sl:tag_load:')
  local servers, tags, untagged, tagged = call('SMEMBERS', P .. 'servers'), {}, 0, 0
  for _, id in ipairs(servers) do
    local v = call('HMGET', P .. 'server:' .. id, 'url', 'tag')
    if v[1] then
      tags[id] = v[2] or ''
      if tags[id] == '' then untagged = untagged + 1 else tagged = tagged + 1 end
    end
  end
  if tagged > 0 then
    for id, tag in pairs(tags) do
      local load = call('ZSCORE', P .. 'server_load', id)
      if load then
        call('ZADD', P .. 'sl:tag_load:' .. tag, load, id)
        call('SADD', P .. 'sl:tags', tag)
      end
    end
  end
  call('HSET', P .. 'sl:index', 'built', ms(now), 'servers', #servers,
    'candidates', call('ZCARD', P .. 'server_load'), 'untagged', untagged, 'tagged', tagged)
  return #servers
end
