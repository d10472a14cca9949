-- ARGV 6 subscription, 7 most subscriptions of a session
-- 0: no session. 1: added. 2: there already. 3: too many.
if not use() then return 0 end
if redis.call('SISMEMBER', KEYS[4], ARGV[6]) == 1 then return 2 end
if redis.call('SCARD', KEYS[4]) >= tonumber(ARGV[7]) then return 3 end
redis.call('SADD', KEYS[4], ARGV[6])
redis.call('PEXPIRE', KEYS[4], redis.call('PTTL', KEYS[1]))
return 1
