-- Adds entries to the pins of a server, unless the kind has been trusted before:
-- KEYS 1 the hash, ARGV 1 the field that says so, 2 '1' with the last entries, 3 the
-- channel, 4 the server; then fields and values. What others have added stays.
if redis.call('HGET', KEYS[1], ARGV[1]) then return 0 end
for i = 5, #ARGV, 2 do
  if not redis.call('HGET', KEYS[1], ARGV[i]) then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  end
end
if ARGV[2] == '1' then
  redis.call('HSET', KEYS[1], ARGV[1], '1')
  redis.call('PUBLISH', ARGV[3], ARGV[4])
end
return 1
