-- ARGV 6 'live' to end a session before its deadline, 'due' to end it after
--      7 token of this call, 8 ms within which it may be sent again
-- The principal, then server and backend session of each that is open; nil if
-- there is no such session. The answer is kept for a while in the place of the
-- client document, behind the token: a call that finds its own is the same command
-- sent again, and what it ended has to reach the caller.
local x = deadline()
if not x then
  redis.call('ZREM', KEYS[3], member)
  local kept = redis.pcall('LRANGE', KEYS[2], 0, -1)
  if kept[1] ~= ARGV[7] then return false end
  return {unpack(kept, 2)}
end
if (now < x) ~= (ARGV[6] == 'live') then return false end
local all = held()
table.insert(all, 1, read('p') or '')
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[4])
redis.call('ZREM', KEYS[3], member)
redis.call('PUBLISH', channel, member)
-- A full Redis cannot keep it.
redis.pcall('RPUSH', KEYS[2], ARGV[7], unpack(all))
redis.pcall('PEXPIRE', KEYS[2], ARGV[8])
return all
