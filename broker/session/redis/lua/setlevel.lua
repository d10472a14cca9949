-- ARGV 6 log level
if not use() then return 0 end
redis.call('HSET', KEYS[1], 'l', ARGV[6])
return 1
