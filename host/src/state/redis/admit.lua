-- Grants and counts chats, or refuses them: for each tenant at most `limit` in any window.
-- The rules are those of core/src/limit.rs.
--
-- KEYS: a list for each tenant: when its chats were granted, in microseconds, oldest first.
-- ARGV: the time in microseconds, or nothing, which is this server's; then for each key the
-- limit, and how many chats are wanted.
-- Returns for each key how many are granted, how many counted before, and microseconds until
-- one more becomes available.

local WINDOW = 10000000
-- Longer than the window: a key's end is counted by another clock than its chats' are.
local EXPIRY_MS = 15000
local CHUNK = 500

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end

-- Removes those chats from the beginning of a list that have left the window, of which the
-- last one has not.
local function trim(key, at)
  -- Most often a few have ended since the last time.
  local size, ended = 8, 0
  repeat
    local chats = redis.call('LRANGE', key, 0, size - 1)
    ended = 0
    while ended < #chats and at - tonumber(chats[ended + 1]) >= WINDOW do
      ended = ended + 1
    end
    redis.call('LTRIM', key, ended, -1)
    local is_done = ended < size
    size = math.min(4 * size, CHUNK)
  until is_done
end

local function push(key, at, count)
  local chat = string.format('%.0f', at)
  while count > 0 do
    local chats = {}
    for i = 1, math.min(count, CHUNK) do
      chats[i] = chat
    end
    redis.call('RPUSH', key, unpack(chats))
    count = count - #chats
  end
  redis.call('PEXPIRE', key, EXPIRY_MS)
end

local answer = {}
for i, key in ipairs(KEYS) do
  local limit, wanted = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  local at, used = now, 0
  local last = redis.pcall('LINDEX', key, -1)
  if type(last) == 'table' then
    -- Not a list, and so not ours. One tenant's key must not keep all others from theirs.
    redis.call('DEL', key)
    last = false
  end
  if last then
    -- A clock that stepped back must not put chats out of order.
    last = tonumber(last)
    at = math.max(now, last)
    if at - last >= WINDOW then
      redis.call('DEL', key)
      last = false
    else
      if at - tonumber(redis.call('LINDEX', key, 0)) >= WINDOW then
        trim(key, at)
      end
      used = redis.call('LLEN', key)
    end
  end
  local granted = math.min(wanted, math.max(0, limit - used))
  if granted > 0 then
    push(key, at, granted)
  end
  local reset = WINDOW
  if limit > 0 and last then
    -- The chat whose end makes room: the oldest, or, where the limit was lowered and more
    -- are inside than it allows, the one that brings them below it.
    local over = math.max(0, used - limit)
    reset = WINDOW - (at - tonumber(redis.call('LINDEX', key, over)))
  end
  answer[3 * i - 2], answer[3 * i - 1], answer[3 * i] = granted, used, reset
end
return answer
