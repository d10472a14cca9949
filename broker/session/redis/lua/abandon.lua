-- ARGV 6 server, 7 token
local field = 'b' .. ARGV[6]
local v = redis.call('HGET', KEYS[1], field)
if v and claimant(v) == ARGV[7] then erase(field) end
return 1
