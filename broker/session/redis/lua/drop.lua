-- ARGV 6 server, 7... id of the backend session that is no more, sealed with each
--   of the keys
local field = 'b' .. ARGV[6]
local v = read(field)
-- Behind the revision, a letter or a text between colons.
local id = v and (string.match(v, '^s[^:](.*)$') or string.match(v, '^s:[^:]*:(.*)$'))
for i = 7, #ARGV do
  if id == ARGV[i] then
    erase(field)
    redis.call('PUBLISH', channel, member .. ' ' .. ARGV[6])
    break
  end
end
return 1
