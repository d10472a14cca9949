-- A place among the sessions of one principal. Without the prelude, as the places
-- are in another hash slot than the session:
-- KEYS 1 sorted set: session key, raw, by the earliest time in ms at which the
--   session may be over without anybody having given its place back
-- ARGV 1 session key  2 clock in ms, '' for this server's own
--   3 ms until then  4 ms that the set is needed  5 most places  6 most answers
-- {0, ...} full, with places whose time has come. {1} taken. {2} taken before.
local had = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not had and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[5]) then
  local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', int(now), 'LIMIT', 0, ARGV[6])
  table.insert(due, 1, 0)
  return due
end
redis.call('ZADD', KEYS[1], int(now + tonumber(ARGV[3])), ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[4]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
if had then return {2} end
return {1}
