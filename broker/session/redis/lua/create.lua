-- ARGV 6 lifetime in ms, 7 revision, 8 principal, 9 client document
--      10 most live sessions of this bucket, -1 for no bound
--      11... the client document, sealed with other keys
-- 1: created, or there already with the same content. 0: another session.
-- 2: the bucket is full.
if redis.call('EXISTS', KEYS[1]) == 1 then
  local document = readdocument()
  local same = document == ARGV[9]
  for i = 11, #ARGV do same = same or document == ARGV[i] end
  if same and redis.call('HGET', KEYS[1], 'v') == ARGV[7] and read('p') == ARGV[8] then return 1 end
  return 0
end
local most = tonumber(ARGV[10])
if most >= 0 and redis.call('ZCOUNT', KEYS[3], '(' .. int(now), '+inf') >= most then return 2 end
local last = now + tonumber(ARGV[6])
redis.call('HSET', KEYS[1], 'v', ARGV[7], 'm', int(last))
write('p', ARGV[8])
writedocument(ARGV[9])
schedule(math.min(now + idle, last))
return 1
