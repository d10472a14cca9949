-- Revision, principal, client document; nil if the session is gone.
if not use() then return false end
local f = redis.call('HMGET', KEYS[1], 'v', 'p')
return {f[1], f[2], redis.call('GET', KEYS[2])}
