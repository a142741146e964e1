-- sweep_bridges: one step through `voice_bridges`: frees those of meetings whose record has expired.
--
-- KEYS[1]  key prefix
-- ARGV     1 cursor  where to go on ('0' at first)
--          2 count   how many voice bridges, approximately (default 500)
-- Returns  {next cursor ('0': done), number freed}
-- Keys     writes voice_bridges; reads meeting:{id}
-- Repeat   changes nothing more.
-- Cost     O(count)

local P, call = KEYS[1] or '', redis.call
local page = call('HSCAN', P .. 'voice_bridges', ARGV[1] or '0', 'COUNT', ARGV[2] or '500')
local freed = 0
for i = 1, #page[2], 2 do
  if call('EXISTS', P .. 'meeting:' .. page[2][i + 1]) == 0 then
    freed = freed + call('HDEL', P .. 'voice_bridges', page[2][i])
  end
end
return { page[1], tostring(freed) }
