-- Puts other values in the places of those that are still there: KEYS 1 the hash;
-- ARGV fields, each with its old and its new value.
for i = 1, #ARGV, 3 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2])
  end
end
return 1
