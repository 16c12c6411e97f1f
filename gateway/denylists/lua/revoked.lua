-- Revoked tokens, for all gateways together: takes what one of them has revoked, and tells it what is new.
--
-- KEYS[1] holds the tokens by when they expire, KEYS[2] by the number under which they came, KEYS[3] the last
-- number and the name of this life. There is a new name when Redis has forgotten something: a gateway that knows
-- another one reads from the beginning, and brings back what it remembers itself.

local PAGE = 1000
local LONGER_S = 86400 -- keys stay so long after their last token has expired

local call = redis.call
local time = call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000

local known, since, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

local life, number = unpack(call('HMGET', KEYS[3], 'life', 'number'))
-- A gateway that has read further than there is: Redis has forgotten the latest, as one does that is restarted
-- or replaced by its replica. Numbers that come again would be passed over, so this is another life, too.
if not life or (life == known and since > tonumber(number or '0')) then
  life = ARGV[5]
  call('HSET', KEYS[3], 'life', life)
end
if life ~= known then since = 0 end

local function forget(ids)
  if #ids == 0 then return end
  call('ZREM', KEYS[1], unpack(ids))
  call('ZREM', KEYS[2], unpack(ids))
end

local added = cjson.decode(ARGV[4])
for _, one in ipairs(added) do
  local id, expires_at = one[1], tonumber(one[2])
  local before = tonumber(call('ZSCORE', KEYS[1], id) or '0')
  if expires_at > now and expires_at > before then
    call('ZADD', KEYS[1], one[2], id)
    call('ZADD', KEYS[2], call('HINCRBY', KEYS[3], 'number', 1), id)
  end
end

forget(call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, PAGE))
local over = call('ZCARD', KEYS[1]) - most
if over > 0 then forget(call('ZRANGE', KEYS[1], 0, math.min(over, PAGE) - 1)) end

if #added > 0 then
  local last = call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
  if last then
    for _, key in ipairs(KEYS) do call('EXPIREAT', key, math.ceil(tonumber(last)) + LONGER_S) end
  end
end

local page, news = call('ZRANGEBYSCORE', KEYS[2], '(' .. since, '+inf', 'WITHSCORES', 'LIMIT', 0, PAGE), {}
for i = 1, #page, 2 do
  news[#news + 1] = {page[i], call('ZSCORE', KEYS[1], page[i]) or '0'}
  since = page[i + 1]
end
return cjson.encode({life, tostring(since), #news == PAGE, news})
