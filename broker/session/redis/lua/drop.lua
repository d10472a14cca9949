-- ARGV 6 server, 7 id of the backend session that is no more
local field = 'b:' .. ARGV[6]
local v = redis.call('HGET', KEYS[1], field)
if v and string.match(v, '^s:[^:]*:(.*)$') == ARGV[7] then
  redis.call('HDEL', KEYS[1], field)
  redis.call('PUBLISH', channel, member .. ' ' .. ARGV[6])
end
return 1
