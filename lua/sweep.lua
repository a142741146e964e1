-- sweep: a step through `meetings`. Forgets names whose record has expired, our notes of them too,
-- and notes where the others run, for those recorded by another program (Scalelite).
--
-- KEYS[1]  key prefix
-- ARGV     1 cursor ('0' at first)   2 how many at about (default 500)
-- Returns  {next cursor ('0': done), forgotten, noted}
-- Repeat   changes nothing more.

local P, call = KEYS[1] or '', redis.call

-- lib: clock
-- Milliseconds since 1970 by Redis' own clock: one clock for all replicas.
local function clock()
  local t = call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
-- lib end

local page = call('SSCAN', P .. 'meetings', ARGV[1] or '0', 'COUNT', ARGV[2] or '500')
local forgotten, noted, now = 0, 0, string.format('%.0f', clock())
for _, m in ipairs(page[2]) do
  local server_id = call('HGET', P .. 'meeting:' .. m, 'server_id')
  if not server_id then
    call('SREM', P .. 'meetings', m)
    call('DEL', P .. 'sl:meeting:' .. m)
    forgotten = forgotten + 1
  elseif call('EXISTS', P .. 'server:' .. server_id) == 1 then
    noted = noted + call('ZADD', P .. 'sl:server_meetings:' .. server_id, 'NX', now, m)
  end
end
return { page[1], tostring(forgotten), tostring(noted) }
