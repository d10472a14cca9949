-- Revision, principal, client document; nil if the session is gone.
if not use() then return false end
return {redis.call('HGET', KEYS[1], 'v'), read('p'), readdocument()}
