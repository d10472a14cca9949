-- Common to all scripts of the session store: `now` in ms since 1970, from ARGV 2,
-- or of this server if that is ''.
local now = tonumber(ARGV[2])
if not now then
  local t = redis.call('TIME')
  now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

-- Lua would write a time as 1.7e+12.
local function int(n) return string.format('%.0f', n) end

