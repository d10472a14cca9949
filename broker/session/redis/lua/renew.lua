-- ARGV 6 server, 7 token, 8 lease in ms
-- 1: worth so much from now on. 0: lost.
if not live() then return 0 end
local field = 'b' .. ARGV[6]
local v = read(field)
if not v or claimant(v) ~= ARGV[7] then return 0 end
write(field, 'i:' .. ARGV[7] .. ':' .. int(now + tonumber(ARGV[8])))
return 1
