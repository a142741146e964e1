-- What two URLs of one server have in common: scheme, host in lower case, port unless it is the scheme's
-- default, path without slashes at its end and without /api.
local function url_identity(url)
  local scheme, host, path = url:match('^(%a+)://([^/]*)(.*)$')
  if not scheme then return url end
  scheme, host = scheme:lower(), host:lower()
  host = host:gsub(scheme == 'https' and ':443$' or ':80$', '')
  path = path:gsub('/+$', ''):gsub('/api$', ''):gsub('/+$', '')
  return scheme .. '://' .. host .. path
end

-- The server in the pool that has this URL, other than `except`; nil if there is none. Keeps an index,
-- sl:server_urls, and rebuilds it when the number of servers is not that of the index: O(servers).
local function url_owner(url, except)
  local index, identity = P .. 'sl:server_urls', url_identity(url)
  if call('HLEN', index) ~= call('SCARD', P .. 'servers') then
    call('DEL', index)
    for _, id in ipairs(call('SMEMBERS', P .. 'servers')) do
      local known = call('HGET', P .. 'server:' .. id, 'url')
      if known and id ~= except then call('HSET', index, url_identity(known), id) end
    end
    local own = call('HGET', P .. 'server:' .. except, 'url')
    if own then call('HSETNX', index, url_identity(own), except) end
  end
  local owner = call('HGET', index, identity)
  if not owner or owner == except then return nil end
  local known = call('HGET', P .. 'server:' .. owner, 'url')
  return known and url_identity(known) == identity and owner or nil
end
