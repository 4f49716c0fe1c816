-- Grants and counts chats, or refuses them: for each tenant at most `limit` in any window.
-- The rules are those of core/src/limit.rs.
--
-- KEYS: a string for each tenant: how many chats it tells of, then, oldest first, when some
-- were granted, in microseconds, and how many at that moment. Most of what this script costs
-- is calls: a string is read with one, and written with another.
-- ARGV: the time in microseconds, or nothing, which is this server's; then for each key the
-- limit, and how many chats are wanted.
-- Returns for each key how many are granted, how many counted before, and microseconds until
-- one more becomes available.

local WINDOW = 10000000
-- Longer than the window: a key's end is counted by another clock than its chats' are.
local EXPIRY_MS = 15000
local COUNT, COUNT_SIZE = '>d', 8
local ENTRY, ENTRY_SIZE = '>dI4', 12

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end

local answer = {}
for i, key in ipairs(KEYS) do
  local limit, wanted = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  local chats = redis.pcall('GET', key)
  if type(chats) == 'table' then
    -- Not a string, and so not ours. One tenant's key must not keep all others from theirs.
    redis.call('DEL', key)
    chats = false
  end
  local size = chats and #chats or 0
  if size <= COUNT_SIZE or (size - COUNT_SIZE) % ENTRY_SIZE ~= 0 then
    chats, size = '', 0
  end
  local at, used, first = now, 0, COUNT_SIZE + 1
  if size > 0 then
    used = struct.unpack(COUNT, chats)
    -- A clock that stepped back must not put chats out of order.
    at = math.max(now, (struct.unpack(ENTRY, chats, size - ENTRY_SIZE + 1)))
    while first < size do
      local granted_at, count = struct.unpack(ENTRY, chats, first)
      if at - granted_at < WINDOW then
        break
      end
      used = used - count
      first = first + ENTRY_SIZE
    end
  end
  local granted = math.min(wanted, math.max(0, limit - used))
  local reset = WINDOW
  if limit > 0 and first < size then
    -- The chat whose end makes room: the oldest, or, where the limit was lowered and more
    -- are inside than it allows, the one that brings them below it.
    local over, place = math.max(0, used - limit), first
    local granted_at, count = struct.unpack(ENTRY, chats, place)
    while over >= count and place + ENTRY_SIZE < size do
      over = over - count
      place = place + ENTRY_SIZE
      granted_at, count = struct.unpack(ENTRY, chats, place)
    end
    reset = WINDOW - (at - granted_at)
  end
  if granted > 0 then
    local told = struct.pack(COUNT, used + granted)
      .. string.sub(chats, first)
      .. struct.pack(ENTRY, at, granted)
    redis.call('SET', key, told, 'PX', EXPIRY_MS)
  end
  answer[3 * i - 2], answer[3 * i - 1], answer[3 * i] = granted, used, reset
end
return answer
