-- Counts chats that were granted elsewhere, while this server was out of reach.
--
-- ARGV, from the second: for each key how many chats, and for each of them how long ago it was
-- granted, in microseconds.

local place = 2
for _, key in ipairs(KEYS) do
  local entries, used = {}, 0
  local function add(granted_at, chats)
    if now - granted_at < WINDOW then
      entries[#entries + 1] = { granted_at, chats }
      used = used + chats
    end
  end
  local counted = redis.pcall('GET', key)
  if type(counted) == 'string' and #counted > HEAD_SIZE then
    local _, first = struct.unpack(HEAD, counted)
    for at = first + 1, #counted - ENTRY_SIZE + 1, ENTRY_SIZE do
      add(struct.unpack(ENTRY, counted, at))
    end
  end
  local more = tonumber(ARGV[place])
  for i = place + 1, place + more do
    add(now - tonumber(ARGV[i]), 1)
  end
  place = place + more + 1
  table.sort(entries, function(one, other)
    return one[1] < other[1]
  end)
  if used > 0 then
    local told = { struct.pack(HEAD, used, HEAD_SIZE, entries[#entries][1]) }
    for _, entry in ipairs(entries) do
      told[#told + 1] = struct.pack(ENTRY, entry[1], entry[2])
    end
    redis.call('SET', key, table.concat(told), 'PX', EXPIRY_MS)
  else
    redis.call('DEL', key)
  end
end
return #KEYS
