-- Common to all scripts on one session, behind the clock.
--
-- KEYS, all in one hash slot:
--   1 hash of the session
--       v, p     revision, principal (sealed: the name that stands for it)
--       x, m     deadline in ms since 1970: the one in force, and the lifetime's
--       l        log level, if one was set
--       b<server>  i:<token>:<end of the lease in ms>  or  s<backend session>, which is
--         a letter for the revision, or the revision between colons, and the id
--       +b<server>, +p  what is over 63 bytes of the field without the plus sign
--       c0 to c9  client document in pieces of 63 bytes
--   2 string with the client document, if it is too long for the hash: a key of
--     its own costs some 150 bytes; for a moment after the end, a list: end.lua
--   3 sorted set of the bucket: session key by deadline
--   4 set of subscriptions: <length of the server's name>:<server><uri>
-- Where the store has keys, backend ids, client document and subscriptions are
-- sealed: to the scripts they are bytes that are equal or not.
-- ARGV:
--   1 session key  2 clock in ms, '' for this server's own  3 idle timeout in ms
--   4 ms that a record outlives its deadline  5 invalidation channel
--   6... as each script says

local member, idle, grace, channel = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]

-- A hash is compact as long as none of its values is over 64 bytes, and of 63 the
-- length takes a byte less: longer ones are kept in two fields. write needs to be the first for the field, or to follow
-- a shorter value.
local compact = 63

local function read(field)
  local v = redis.call('HGET', KEYS[1], field)
  if not v or #v < compact then return v end
  return v .. (redis.call('HGET', KEYS[1], '+' .. field) or '')
end

local function write(field, v)
  if #v <= compact then
    redis.call('HSET', KEYS[1], field, v)
  else
    redis.call('HSET', KEYS[1], field, string.sub(v, 1, compact), '+' .. field, string.sub(v, compact + 1))
  end
end

-- documents are in as few pieces as it takes, the last one the only short one.
local pieces = {'c0', 'c1', 'c2', 'c3', 'c4', 'c5', 'c6', 'c7', 'c8', 'c9'}

local function writedocument(doc)
  if #doc > #pieces * compact then
    redis.call('SET', KEYS[2], doc)
    return
  end
  for i = 1, math.max(1, math.ceil(#doc / compact)) do
    redis.call('HSET', KEYS[1], pieces[i], string.sub(doc, (i - 1) * compact + 1, i * compact))
  end
end

local function readdocument()
  local all = redis.call('HMGET', KEYS[1], unpack(pieces))
  if not all[1] then return redis.call('GET', KEYS[2]) end
  local there = {}
  for i = 1, #pieces do
    if not all[i] then break end
    there[i] = all[i]
  end
  return table.concat(there)
end

local function erase(field) redis.call('HDEL', KEYS[1], field, '+' .. field) end

-- schedule sets the deadline. Every key carries a TTL, so that nothing stays in
-- a Redis that no broker uses any more.
local function schedule(deadline)
  local ttl = deadline - now + grace
  redis.call('HSET', KEYS[1], 'x', int(deadline))
  redis.call('PEXPIRE', KEYS[1], int(ttl))
  redis.call('PEXPIRE', KEYS[2], int(ttl))
  redis.call('PEXPIRE', KEYS[4], int(ttl))
  redis.call('ZADD', KEYS[3], int(deadline), member)
  if redis.call('PTTL', KEYS[3]) < ttl then
    redis.call('PEXPIRE', KEYS[3], int(ttl))
  end
end

-- deadline of the session, nil if there is no record.
local function deadline() return tonumber(redis.call('HGET', KEYS[1], 'x')) end

local function live()
  local x = deadline()
  return x ~= nil and now < x
end

-- use is live and moves the idle deadline when less than half is left. A Redis
-- that takes nothing now, being full or a replica, does not keep a session from
-- being used until its deadline as it stands: the first write tells, before
-- anything has changed.
local function use()
  local f = redis.call('HMGET', KEYS[1], 'x', 'm')
  local x, m = tonumber(f[1]), tonumber(f[2])
  if not x or now >= x then return false end
  if x - now < idle / 2 then
    local later = math.min(now + idle, m)
    if later > x and type(redis.pcall('HSET', KEYS[1], 'x', int(later))) == 'number' then schedule(later) end
  end
  return true
end

-- claimant returns token and end of the lease if v is a claim.
local function claimant(v)
  local token, lease = string.match(v, '^i:([^:]*):(%d+)$')
  return token, tonumber(lease)
end

-- held returns server and backend session of each that is open.
local function held()
  local all, rest = {}, {}
  local f = redis.call('HGETALL', KEYS[1])
  for i = 1, #f, 2 do
    if string.sub(f[i], 1, 1) == '+' then rest[string.sub(f[i], 2)] = f[i + 1] end
  end
  for i = 1, #f, 2 do
    if string.sub(f[i], 1, 1) == 'b' and string.sub(f[i + 1], 1, 1) == 's' then
      all[#all + 1] = string.sub(f[i], 2)
      all[#all + 1] = string.sub(f[i + 1], 2) .. (rest[f[i]] or '')
    end
  end
  return all
end
