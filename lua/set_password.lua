-- set_password: notes the moderator password that a meeting really has. A create that was begun
-- before, but never reached the server, noted one that the server does not know.
--
-- KEYS[1]  key prefix
-- ARGV     1 meeting id   2 the server that it is on   3 moderator password
-- Returns  noted, or kept (no such record, or on another server)
-- Repeat   notes the same.

local P, call = KEYS[1] or '', redis.call
local key = P .. 'meeting:' .. (ARGV[1] or '')
if not ARGV[3] or call('HGET', key, 'server_id') ~= ARGV[2] then return 'kept' end
call('HSET', key, 'moderator_pw', ARGV[3])
return 'noted'
