-- ARGV 6 subscription
if not use() then return 0 end
redis.call('SREM', KEYS[4], ARGV[6])
return 1
