-- sweep_bridges: a step through `voice_bridges`. Gives the numbers back of meetings whose record has
-- expired.
--
-- KEYS[1]  key prefix
-- ARGV     1 cursor ('0' at first)   2 how many at about (default 500)
-- Returns  {next cursor ('0': done), given back}
-- Repeat   changes nothing more.

local P, call = KEYS[1] or '', redis.call
local page = call('HSCAN', P .. 'voice_bridges', ARGV[1] or '0', 'COUNT', ARGV[2] or '500')
local back = 0
for i = 1, #page[2], 2 do
  if call('EXISTS', P .. 'meeting:' .. page[2][i + 1]) == 0 then
    back = back + call('HDEL', P .. 'voice_bridges', page[2][i])
  end
end
return { page[1], tostring(back) }
