-- sweep_index: one step through an index of meetings: deletes the entries of those whose record has expired.
--
-- KEYS[1]  key prefix
-- ARGV     1 index   `voice_bridges` or `sl:internal_ids`
--          2 cursor  where to go on ('0' at first)
--          3 count   how many entries, approximately (default 500)
-- Returns  {next cursor ('0': done), number deleted}
-- Keys     writes voice_bridges, sl:internal_ids; reads meeting:{id}
-- Errors   an index that is none of the two
-- Repeat   changes nothing more.
-- Cost     O(count)

local P, call = KEYS[1] or '', redis.call
local indexes = { voice_bridges = P .. 'voice_bridges', ['sl:internal_ids'] = P .. 'sl:internal_ids' }
local index = indexes[ARGV[1] or '']
if not index then
  return redis.error_reply('ERR sweep_index: ARGV[1] must be voice_bridges or sl:internal_ids')
end
local page = call('HSCAN', index, ARGV[2] or '0', 'COUNT', ARGV[3] or '500')
local deleted = 0
for i = 1, #page[2], 2 do
  if call('EXISTS', P .. 'meeting:' .. page[2][i + 1]) == 0 then
    deleted = deleted + call('HDEL', index, page[2][i])
  end
end
return { page[1], tostring(deleted) }
