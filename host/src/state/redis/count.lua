-- Counts chats that were granted elsewhere, while this server was out of reach.
--
-- KEYS: as in admit.lua. ARGV: the time as there; then for each key how many chats, and for
-- each of them how long ago it was granted, in microseconds.

local WINDOW = 10000000
local EXPIRY_MS = 15000
local CHUNK = 500

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end

local place = 2
for _, key in ipairs(KEYS) do
  local chats = {}
  local counted = redis.pcall('LRANGE', key, 0, -1)
  if not counted.err then
    for _, chat in ipairs(counted) do
      if now - tonumber(chat) < WINDOW then
        chats[#chats + 1] = tonumber(chat)
      end
    end
  end
  local more = tonumber(ARGV[place])
  for i = place + 1, place + more do
    local age = tonumber(ARGV[i])
    if age < WINDOW then
      chats[#chats + 1] = now - age
    end
  end
  place = place + more + 1
  table.sort(chats)
  redis.call('DEL', key)
  for first = 1, #chats, CHUNK do
    local chunk = {}
    for i = first, math.min(first + CHUNK - 1, #chats) do
      chunk[#chunk + 1] = string.format('%.0f', chats[i])
    end
    redis.call('RPUSH', key, unpack(chunk))
  end
  if #chats > 0 then
    redis.call('PEXPIRE', key, EXPIRY_MS)
  end
end
return #KEYS
