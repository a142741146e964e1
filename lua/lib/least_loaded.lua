-- @include read_server

-- The entry with the lowest score in these sorted sets: its id, its set, its score. Ties are taken
-- in turn.
local function lowest(sets)
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

-- The same, skipping `excluded` (id → true, `count` of them). Reads only the head of each set, so of
-- many ties it may not see all.
local function lowest_except(sets, excluded, count)
  local min, ties = nil, {}
  for _, set in ipairs(sets) do
    local head = call('ZRANGE', set, 0, count + 15, 'WITHSCORES')
    for i = 1, #head, 2 do
      local score = tonumber(head[i + 1])
      if not excluded[head[i]] then
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

-- The least loaded server in these sets that is not in `excluded` (or nil): its id and record, or nil. An
-- entry that the server's record or server_load contradicts is corrected, and the search repeated.
local function least_loaded(sets, excluded, count)
  for _ = 1, 64 do
    local picked, set, min
    if excluded then picked, set, min = lowest_except(sets, excluded, count)
    else picked, set, min = lowest(sets) end
    if not picked then return nil end
    local s = read_server(picked)
    if set == P .. 'server_load' then
      if s then return picked, s end
      call('ZREM', set, picked)  -- a candidate without a record: there is no URL to send anything to
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
