-- mark_key: returns the key of the marks by which polls recognise meetings that sl has created.
-- Creates it if it is missing: then Redis is empty, or holds the registry of a Scalelite, and a rebuild
-- begins.
--
-- KEYS[1]  key prefix
-- ARGV     1 offered   the key if there is none yet: 64 hex digits
--          2 had_pool  '1': `offered` was the key of this pool, which had servers. If Redis has another key or
--                      none, it has lost its data: creates of unknown ids ask all servers for a while, those
--                      included that are not added again yet
-- Returns  {key}
-- Keys     writes sl:mark_key, sl:rebuild, sl:unpolled
-- Errors   an offered key that is not 64 hex digits
-- Repeat   returns the same key.
-- Cost     O(1)

local P, call = KEYS[1] or '', redis.call
local offered, had_pool = ARGV[1] or '', ARGV[2] == '1'
if #offered ~= 64 or offered:find('%X') then
  return redis.error_reply('ERR mark_key: ARGV[1] must be 64 hex digits')
end
-- @include begin_rebuild, clock, ms

local function note_loss()
  -- '' stands for the servers that are not added again yet; add_server shortens it to ten minutes.
  call('ZADD', P .. 'sl:unpolled', ms(clock() + 86400000), '')
end


if call('SETNX', P .. 'sl:mark_key', offered) == 1 then
  begin_rebuild()
  if had_pool then note_loss() end
  return { offered }
end
local key = call('GET', P .. 'sl:mark_key')
if had_pool and key ~= offered then
  begin_rebuild()
  note_loss()
end
return { key }
