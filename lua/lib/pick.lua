-- The first over these sorted sets that is not in `out`, and the set that it is in: looks a little
-- further into each. Ties are taken in turn.
local function first_without(sets, out, count)
  local min, ties = nil, {}
  for _, set in ipairs(sets) do
    local head = call('ZRANGE', set, 0, count + 15, 'WITHSCORES')
    for i = 1, #head, 2 do
      local score = tonumber(head[i + 1])
      if not out[head[i]] then
        if not min or score < min then min, ties = score, { { head[i], set } }
        elseif score == min then ties[#ties + 1] = { head[i], set } end
      end
    end
  end
  if not min then return nil end
  local rank = 0
  if #ties > 1 then rank = call('INCR', P .. 'sl:turn') % #ties end
  return ties[rank + 1][1], ties[rank + 1][2], min
end

-- The least loaded candidate for a tag argument, never one of `excluded` (id → true, or nil).
-- Servers held back after a failed create (sl:held) are taken only where there is no other. Returns
-- the server's id and record, or nil; whether there is an index by tag; and the tags, where they are
-- required.
local function pick(tag_argument, any_if_no_untagged, now, excluded)
  -- The index is remade when it is old, or when somebody changed the number of candidates. In a
  -- pool without tags nothing is read from it, and so it need not be looked at as closely.
  local index = call('HMGET', P .. 'sl:index', 'built', 'servers', 'candidates', 'untagged', 'tagged')
  local age = now - (tonumber(index[1]) or 0)
  local rebuilt = false
  local function heal()
    reindex(now)
    rebuilt = true
    index = call('HMGET', P .. 'sl:index', 'built', 'servers', 'candidates', 'untagged', 'tagged')
  end
  if age < 0 or age > 5000 + (tonumber(index[2]) or 0)
    or (index[5] ~= '0' and call('ZCARD', P .. 'server_load') ~= tonumber(index[3])) then
    heal()
  end

  -- The first over these sorted sets, and the set that it is in; ties are taken in turn.
  local function first(sets)
    local min, ties = nil, {}
    for _, set in ipairs(sets) do
      local head = call('ZRANGE', set, 0, 0, 'WITHSCORES')
      local score = tonumber(head[2])
      if score and (not min or score < min) then min, ties = score, { { set, head[2], 0, head[1] } }
      elseif score and score == min then ties[#ties + 1] = { set, head[2], 0, head[1] } end
    end
    if not min then return nil end
    local total = 0
    for _, t in ipairs(ties) do
      t[3] = call('ZCOUNT', t[1], t[2], t[2])
      total = total + t[3]
    end
    local rank = 0
    if total > 1 then rank = call('INCR', P .. 'sl:turn') % total end
    for _, t in ipairs(ties) do
      if rank < t[3] then
        return rank == 0 and t[4] or call('ZRANGE', t[1], rank, rank)[1], t[1], min
      end
      rank = rank - t[3]
    end
  end

  -- What the index says is checked against the hashes, put right if it was wrong, and then the pick
  -- is made again.
  local function least(sets, out, count)
    for _ = 1, 64 do
      local picked, set, min
      if out then picked, set, min = first_without(sets, out, count)
      else picked, set, min = first(sets) end
      if not picked then return nil end
      local s = read_server(picked)
      if set == P .. 'server_load' then
        if s then return picked, s end
        call('ZREM', set, picked)  -- a candidate without a record: nobody can be sent there
      else
        local load = call('ZSCORE', P .. 'server_load', picked)
        if s and load and tonumber(load) == min and set == P .. 'sl:tag_load:' .. s.tag then
          return picked, s
        end
        call('ZREM', set, picked)
        if s and load then
          call('ZADD', P .. 'sl:tag_load:' .. s.tag, load, picked)
          call('SADD', P .. 'sl:tags', s.tag)
        end
      end
    end
    return nil
  end

  local required = tag_argument:sub(-1) == '!'
  local list = required and tag_argument:sub(1, -2) or tag_argument
  local tagged, untagged = {}, { P .. 'sl:tag_load:' }
  for tag in list:gmatch('[^;]+') do
    if tag ~= 'none' then tagged[#tagged + 1] = P .. 'sl:tag_load:' .. tag
    elseif index[5] == '0' then tagged[#tagged + 1] = P .. 'server_load'
    else tagged[#tagged + 1] = P .. 'sl:tag_load:' end
  end

  local function choose(out, count)
    if #tagged > 0 then
      local server_id, s = least(tagged, out, count)
      if server_id or required then return server_id, s end
    end
    local server_id, s
    if index[5] == '0' then
      server_id, s = least({ P .. 'server_load' }, out, count)
      -- Somebody has given it a tag by hand.
      if s and s.tag ~= '' then
        heal()
        server_id, s = least(untagged, out, count)
      end
    else
      server_id, s = least(untagged, out, count)
    end
    if not server_id and any_if_no_untagged and (tonumber(index[4]) or 0) == 0 then
      server_id, s = least({ P .. 'server_load' }, out, count)
    end
    return server_id, s
  end

  local server_id, s
  local count = 0
  for _ in pairs(excluded or {}) do count = count + 1 end
  if call('EXISTS', P .. 'sl:held') == 1 then
    local out, total = {}, count
    for id in pairs(excluded or {}) do out[id] = true end
    call('ZREMRANGEBYSCORE', P .. 'sl:held', '-inf', string.format('%.0f', now))
    for _, id in ipairs(call('ZRANGE', P .. 'sl:held', 0, -1)) do out[id], total = true, total + 1 end
    server_id, s = choose(out, total)
  end
  if not server_id then server_id, s = choose(excluded, count) end
  if not server_id and not rebuilt and age > 1000 then
    heal()
    server_id, s = choose(excluded, count)
  end
  return server_id, s, index[5] ~= '0', #tagged > 0 and required and list or nil
end
