-- reindex: makes the index of candidates by tag (sl:tag_load:*) anew from servers, server:{id} and
-- server_load. assign.lua does so by itself every few seconds.
--
-- KEYS[1]  key prefix
-- Returns  number of servers
-- Repeat   changes nothing.
-- Cost     O(servers)

local P, call = KEYS[1] or '', redis.call

-- lib: clock
-- Milliseconds since 1970 by Redis' own clock: one clock for all replicas.
local function clock()
  local t = call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
-- lib end
-- lib: index
-- Makes sl:tag_load:* anew from what servers, server:{id} and server_load say. O(servers). In a
-- pool without any tag, server_load itself is all there is to know, and there is no index.
local function reindex(now)
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
  call('HSET', P .. 'sl:index', 'built', string.format('%.0f', now), 'servers', #servers,
    'candidates', call('ZCARD', P .. 'server_load'), 'untagged', untagged, 'tagged', tagged)
  return #servers
end
-- lib end

return reindex(clock())
