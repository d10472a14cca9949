-- Puts entries into the pins of a server: KEYS 1 the hash, ARGV 1 the channel, 2
-- the server; then fields and values.
for i = 3, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
redis.call('PUBLISH', ARGV[1], ARGV[2])
return 1
