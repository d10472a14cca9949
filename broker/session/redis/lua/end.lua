-- ARGV 6 'live' to end a session before its deadline, 'due' to end it after
-- The principal, then server and backend session of each that is open; nil if
-- there is no such session.
local x = deadline()
if not x then
  redis.call('ZREM', KEYS[3], member)
  return false
end
if (now < x) ~= (ARGV[6] == 'live') then return false end
local all = held()
table.insert(all, 1, read('p') or '')
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[4])
redis.call('ZREM', KEYS[3], member)
redis.call('PUBLISH', channel, member)
return all
