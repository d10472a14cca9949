-- ARGV 6 'live' to end a session before its deadline, 'due' to end it after
-- Server and '<revision>:<backend id>' of each backend session; nil if there is
-- no such session.
local x = deadline()
if not x then
  redis.call('ZREM', KEYS[3], member)
  return false
end
if (now < x) ~= (ARGV[6] == 'live') then return false end
local held = {}
local f = redis.call('HGETALL', KEYS[1])
for i = 1, #f, 2 do
  if string.sub(f[i], 1, 2) == 'b:' and string.sub(f[i + 1], 1, 2) == 's:' then
    held[#held + 1] = string.sub(f[i], 3)
    held[#held + 1] = string.sub(f[i + 1], 3)
  end
end
redis.call('UNLINK', KEYS[1], KEYS[2])
redis.call('ZREM', KEYS[3], member)
redis.call('PUBLISH', channel, member)
return held
