-- One exchange: what a proxy has to tell of some keys is done, and what it may know of them is answered.
--
-- A value is a hash: v, the value; t, when it was set or deleted last, in microseconds since 1970. What was deleted stays
-- for a while without v, so that what was set earlier and comes later does not come back.
--
-- KEYS: the proxy's mark, then the keys.
-- ARGV: number of the exchange, life of the mark, life of what was deleted, latest t that is believed, largest value,
-- bytes of values that may be answered; then for each key: t ('': neither set nor deleted), whether it was deleted, the
-- value, what is added, time to live ('': for ever). Times to live in milliseconds.
-- Answers for each key: what there is (0 nothing, 1 a value, 2 something else, 3 no room in the answer), v, time to live, t,
-- whether something could not be added.

local mark = tonumber(redis.call('GET', KEYS[1]) or '') or 0
local done = mark >= tonumber(ARGV[1])
if not done and #KEYS > 1 then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
local deleted_life, believable = ARGV[3], tonumber(ARGV[4])
local largest, room = tonumber(ARGV[5]), tonumber(ARGV[6])

local function set_at(key)
  local t = tonumber(redis.call('HGET', key, 't') or '')
  if not t or t ~= t or t < 0 or t > believable then return 0 end
  return t
end

local function live(key, ttl)
  if ttl == '' then redis.call('PERSIST', key) else redis.call('PEXPIRE', key, ttl) end
end

local function change(key, t, deleted, value, add, ttl)
  if t ~= '' and tonumber(t) > set_at(key) then
    redis.call('HSET', key, 't', t)
    if deleted == '1' then
      redis.call('HDEL', key, 'v')
      redis.call('PEXPIRE', key, deleted_life)
    else
      redis.call('HSET', key, 'v', value)
      live(key, ttl)
    end
  end
  if add == '0' then return 0 end
  -- The time to live counts from when the number was first there.
  local first = redis.call('HEXISTS', key, 'v') == 0
  local sum = redis.pcall('HINCRBY', key, 'v', add)
  if type(sum) ~= 'number' then return 1 end
  if first then live(key, ttl) end
  return 0
end

local answers = {}
for i = 2, #KEYS do
  local key, a = KEYS[i], 7 + (i - 2) * 5
  local kind = redis.call('TYPE', key).ok
  local failed = 0
  if kind ~= 'hash' and kind ~= 'none' then
    answers[i - 1] = {2, false, -1, '0', 0}
  else
    if not done then failed = change(key, ARGV[a], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3], ARGV[a + 4]) end
    local t = string.format('%.0f', set_at(key))
    local size = redis.call('HSTRLEN', key, 'v')
    if redis.call('HEXISTS', key, 'v') == 0 then
      answers[i - 1] = {0, false, -1, t, failed}
    elseif size > largest then
      answers[i - 1] = {2, false, -1, t, failed}
    elseif size > room then
      answers[i - 1] = {3, false, -1, t, failed}
    else
      room = room - size
      answers[i - 1] = {1, redis.call('HGET', key, 'v'), redis.call('PTTL', key), t, failed}
    end
  end
end
return answers
