-- ARGV 6 server, 7 token of this claim, 8 lease in ms
-- {0} gone, {1, backend session} have, {2, ms} wait, {3} claimed.
-- A claim that finds its own token is the same command sent again.
if not use() then return {0} end
local field = 'b' .. ARGV[6]
local v = read(field)
if v then
  if string.sub(v, 1, 1) == 's' then return {1, string.sub(v, 2)} end
  local token, lease = claimant(v)
  if token ~= ARGV[7] and lease > now then return {2, lease - now} end
end
write(field, 'i:' .. ARGV[7] .. ':' .. int(now + tonumber(ARGV[8])))
return {3}
