-- ARGV 6 server, 7 token, 8 backend session
-- 1: recorded, or recorded already. 0: lost.
if not live() then return 0 end
local field = 'b' .. ARGV[6]
local v = read(field)
if not v then return 0 end
if v == 's' .. ARGV[8] then return 1 end
if claimant(v) ~= ARGV[7] then return 0 end
write(field, 's' .. ARGV[8])
redis.call('PUBLISH', channel, member .. '+' .. ARGV[6])
return 1
