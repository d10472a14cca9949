-- The log level or an empty string, then all subscriptions; nil if the session
-- is gone.
if not live() then return false end
local all = redis.call('SMEMBERS', KEYS[4])
table.insert(all, 1, redis.call('HGET', KEYS[1], 'l') or '')
return all
