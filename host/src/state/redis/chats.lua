-- What the scripts that count chats have in common; it stands before each of them.
--
-- KEYS: a string for each tenant. Its head has how many chats it tells of, where the first one
-- of them is, and when the last one was granted. Behind it are, oldest first, when some were
-- granted, in microseconds, and how many at that moment. Long strings are slow in Lua, so just
-- the ends are touched: those before the first one are gone for good now and then.
-- ARGV: the time in microseconds, or nothing, which is this server's; then what is asked.

local WINDOW = 10000000
-- Longer than the window, even where it was set EXPIRE_EVERY before the last chat.
local EXPIRY_MS = '15000'
local EXPIRE_EVERY = 2000000
local HEAD, HEAD_SIZE, HEAD_END = '>ddd', 24, '23'
local ENTRY, ENTRY_SIZE = '>dI4', 12

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
