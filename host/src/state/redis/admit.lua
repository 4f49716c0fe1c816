-- Grants and counts chats, or refuses them: for each tenant at most `limit` in any window.
-- The rules are those of core/src/limit.rs.
--
-- ARGV, from the second: for each key the limit, and how many chats are wanted.
-- Returns for each key how many are granted, how many counted before, and microseconds until
-- one more becomes available.

-- What calls are given as numbers they turn into texts, slowly.
local WHOLE = '%d'
-- Bytes before the first chat that are left where they are.
local MAX_GONE = 3072

-- Reads entries one after the other; nil where there are no more.
local function reader(key, place)
  local part, at, count = '', 1, 8
  return function()
    if at > #part then
      part = redis.call(
        'GETRANGE',
        key,
        string.format(WHOLE, place),
        string.format(WHOLE, place + count * ENTRY_SIZE - 1)
      )
      place, at, count = place + #part, 1, math.min(4 * count, 512)
    end
    if #part - at + 1 < ENTRY_SIZE then
      return nil
    end
    local granted_at, chats = struct.unpack(ENTRY, part, at)
    at = at + ENTRY_SIZE
    return granted_at, chats
  end
end

local answer = {}
for i, key in ipairs(KEYS) do
  local limit, wanted = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  local head = redis.pcall('GETRANGE', key, '0', HEAD_END)
  if type(head) == 'table' then
    -- Not a string, and so not ours. One tenant's key must not keep all others from theirs.
    redis.call('DEL', key)
    head = ''
  end
  local at, used, first, last = now, 0, 0, 0
  local next_entry, granted_at, chats
  if #head == HEAD_SIZE then
    used, first, last = struct.unpack(HEAD, head)
    -- A clock that stepped back must not put chats out of order.
    at = math.max(now, last)
    next_entry = reader(key, first)
    if at - last < WINDOW then
      granted_at, chats = next_entry()
      while granted_at and at - granted_at >= WINDOW do
        used = used - chats
        first = first + ENTRY_SIZE
        granted_at, chats = next_entry()
      end
    end
  end
  if not granted_at then
    used = 0
  end
  local granted = math.min(wanted, math.max(0, limit - used))
  local reset = WINDOW
  if limit > 0 and granted_at then
    -- The chat whose end makes room: the oldest, or, where the limit was lowered and more
    -- are inside than it allows, the one that brings them below it.
    local over = math.max(0, used - limit)
    while granted_at and over >= chats do
      over = over - chats
      granted_at, chats = next_entry()
    end
    reset = WINDOW - (at - (granted_at or at))
  end
  if granted > 0 then
    local entry = struct.pack(ENTRY, at, granted)
    if used == 0 then
      local told = struct.pack(HEAD, granted, HEAD_SIZE, at) .. entry
      redis.call('SET', key, told, 'PX', EXPIRY_MS)
    else
      local size = redis.call('APPEND', key, entry)
      if first > MAX_GONE and 2 * first > size then
        local rest = redis.call('GETRANGE', key, string.format(WHOLE, first), '-1')
        local told = struct.pack(HEAD, used + granted, HEAD_SIZE, at) .. rest
        redis.call('SET', key, told, 'PX', EXPIRY_MS)
      else
        redis.call('SETRANGE', key, '0', struct.pack(HEAD, used + granted, first, at))
        if math.floor(at / EXPIRE_EVERY) ~= math.floor(last / EXPIRE_EVERY) then
          redis.call('PEXPIRE', key, EXPIRY_MS)
        end
      end
    end
  end
  answer[3 * i - 2], answer[3 * i - 1], answer[3 * i] = granted, used, reset
end
return answer
