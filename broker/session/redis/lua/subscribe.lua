-- ARGV 6 most subscriptions of a session, 7 subscription, 8... the same, sealed
--   with other keys
-- 0: no session. 1: added. 2: there already. 3: too many.
if not use() then return 0 end
for i = 7, #ARGV do
  if redis.call('SISMEMBER', KEYS[4], ARGV[i]) == 1 then return 2 end
end
if redis.call('SCARD', KEYS[4]) >= tonumber(ARGV[6]) then return 3 end
redis.call('SADD', KEYS[4], ARGV[7])
redis.call('PEXPIRE', KEYS[4], redis.call('PTTL', KEYS[1]))
return 1
