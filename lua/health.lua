-- health: checks that Redis accepts the writes of requests, and counts the servers.
-- Redis refuses a write to a missing key as any other, even one of no bytes, which changes nothing.
--
-- KEYS[1]  key prefix
-- ARGV     none
-- Returns  number of servers in the pool
-- Keys     reads servers; writes sl:health
-- Repeat   returns the same.
-- Cost     O(1)

local P, call = KEYS[1] or '', redis.call

call('SETRANGE', P .. 'sl:health', 0, '')
return call('SCARD', P .. 'servers')
