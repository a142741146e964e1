-- online: lists every server that is online, whatever its state: those that getMeetings queries.
--
-- KEYS[1]  key prefix
-- ARGV     none
-- Returns  {server id, url, secret, server id, …}
-- Keys     reads servers, server:{id}, server_enabled; writes nothing
-- Repeat   returns the same.
-- Cost     O(servers)

local P, call = KEYS[1] or '', redis.call
-- @include read_server

local answer = {}
for _, id in ipairs(call('SMEMBERS', P .. 'servers')) do
  local s = read_server(id)
  if s and s.online then
    for _, v in ipairs({ id, s.url, s.secret }) do answer[#answer + 1] = v end
  end
end
return answer
