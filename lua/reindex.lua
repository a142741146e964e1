-- reindex: rebuilds the index of candidates by tag from servers, server:{id} and server_load.
-- assign.lua does so by itself every few seconds.
--
-- KEYS[1]  key prefix
-- ARGV     none
-- Returns  number of servers
-- Keys     writes sl:tag_load:{tag}, sl:tags, sl:index, sl:server_urls; reads servers, server:{id}, server_load
-- Repeat   changes nothing.
-- Cost     O(servers)

local P, call = KEYS[1] or '', redis.call
-- @include clock, rebuild_index

call('DEL', P .. 'sl:server_urls')  -- add_server.lua rebuilds it, after a URL was edited by hand
return rebuild_index(clock())
