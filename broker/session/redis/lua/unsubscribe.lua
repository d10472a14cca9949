-- ARGV 6... subscription, sealed with each of the keys
if not use() then return 0 end
for i = 6, #ARGV do redis.call('SREM', KEYS[4], ARGV[i]) end
return 1
