-- @include least_loaded, ms, rebuild_index

-- The least loaded candidate for a tag argument (see assign.lua), never one of `excluded` (id → true,
-- or nil). A server that is held (sl:held) is picked only if there is no other. Returns the server's
-- id and record, or nil; whether there is an index by tag; and the tags, if they are required.
local function pick(tag_argument, any_if_no_untagged, now, excluded)
  local index = call('HMGET', P .. 'sl:index', 'built', 'servers', 'candidates', 'untagged', 'tagged')
  local rebuilt = false
  local function rebuild()
    rebuild_index(now)
    rebuilt = true
    index = call('HMGET', P .. 'sl:index', 'built', 'servers', 'candidates', 'untagged', 'tagged')
  end
  -- Rebuilt when it is old, or when another program changed the number of candidates. A pool without
  -- tags reads no servers from it, so there its age alone counts.
  local age = now - (tonumber(index[1]) or 0)
  if age < 0 or age > 5000 + (tonumber(index[2]) or 0)
    or (index[5] ~= '0' and call('ZCARD', P .. 'server_load') ~= tonumber(index[3])) then
    rebuild()
  end

  local required = tag_argument:sub(-1) == '!'
  local list = required and tag_argument:sub(1, -2) or tag_argument
  local tagged = nil
  if list:find('[^;]') then
    tagged = {}
    for tag in list:gmatch('[^;]+') do
      if tag ~= 'none' then tagged[#tagged + 1] = P .. 'sl:tag_load:' .. tag
      else tagged[#tagged + 1] = P .. (index[5] == '0' and 'server_load' or 'sl:tag_load:') end
    end
  end

  local function choose(out, count)
    if tagged then
      local server_id, s = least_loaded(tagged, out, count)
      if server_id or required then return server_id, s end
    end
    local server_id, s
    if index[5] == '0' then
      server_id, s = least_loaded({ P .. 'server_load' }, out, count)
      if s and s.tag ~= '' then  -- another program has tagged it since the index was built
        rebuild()
        server_id, s = least_loaded({ P .. 'sl:tag_load:' }, out, count)
      end
    else
      server_id, s = least_loaded({ P .. 'sl:tag_load:' }, out, count)
    end
    if not server_id and any_if_no_untagged and (tonumber(index[4]) or 0) == 0 then
      server_id, s = least_loaded({ P .. 'server_load' }, out, count)
    end
    return server_id, s
  end

  local server_id, s
  local count = 0
  if excluded then
    for _ in pairs(excluded) do count = count + 1 end
  end
  if call('EXISTS', P .. 'sl:held') == 1 then
    local out, total = {}, count
    for id in pairs(excluded or {}) do out[id] = true end
    call('ZREMRANGEBYSCORE', P .. 'sl:held', '-inf', ms(now))
    for _, id in ipairs(call('ZRANGE', P .. 'sl:held', 0, -1)) do out[id], total = true, total + 1 end
    server_id, s = choose(out, total)
  end
  if not server_id then server_id, s = choose(excluded, count) end
  if not server_id and not rebuilt and age > 1000 then
    rebuild()
    server_id, s = choose(excluded, count)
  end
  return server_id, s, index[5] ~= '0', tagged and required and list or nil
end
