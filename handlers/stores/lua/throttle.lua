-- Tokens, slow start and appointments: handlers/throttle.py, handlers/book.py and handlers/turns.py.
--
-- SLOTS  used appointment -> itself, until it would be good no more
-- META   last_slot: the last appointment given

-- The share of the handlers that start slowly, 0 while more than half are new.
local function new_share()
  if not counted_share then
    local new = call('ZCOUNT', STARTS, '(' .. exact(now - pool.slow_start_s), '+inf')
    local all = call('ZCARD', STARTS)
    counted_share = (2 * new > all or all == 0) and 0 or new / all
  end
  return counted_share
end

local function rate_of(handler)
  local age_s = now - handler.up_at
  if age_s >= pool.slow_start_s or new_share() == 0 then return pool.joins_per_s end
  return pool.joins_per_s * math.max(pool.slowest, age_s / pool.slow_start_s)
end

-- It gets a client, which costs it a token. `place` is still to be called.
local function take_in(handler)
  handler.ready_at = math.max(handler.ready_at, now - pool.burst_s) + 1 / rate_of(handler)
end

local function tokens_of(handler)
  return math.max(0, 1 + (now - math.max(handler.ready_at, now - pool.burst_s)) * rate_of(handler))
end

-- The last slot given; whoever comes without one before it has passed does not overtake.
local last_slot
local function last_appointment()
  if not last_slot then
    last_slot = tonumber(call('HGET', META, 'last_slot') or NEVER)
    if last_slot > now + pool.horizon_s then last_slot = NEVER end -- the clock was set back
  end
  return last_slot
end

local function come_back(wait_s, slot)
  return cjson.encode({'come_back', exact(wait_s), slot and exact(slot), NOW})
end

local function appointment()
  local lively = call('ZCARD', ORDER) + call('ZCARD', PARKED)
  local rate = lively * pool.joins_per_s * (1 - pool.mean * new_share())
  local slot = math.max(last_appointment(), now + 1 / pool.joins_per_s) + 1 / rate
  if slot > now + pool.horizon_s then return come_back(pool.horizon_s, false) end
  last_slot = slot
  call('HSET', META, 'last_slot', exact(slot))
  return come_back(slot - now, slot)
end

local function keeps(slot)
  if slot <= now - pool.horizon_s or slot > now + pool.horizon_s then return false end
  return not call('ZSCORE', SLOTS, exact(slot))
end

-- Forgets used slots that would be good no more.
local function forget_slots(most)
  local ended = call('ZRANGEBYSCORE', SLOTS, '-inf', exact(now - pool.horizon_s), 'LIMIT', 0, most)
  if #ended > 0 then call('ZREM', SLOTS, unpack(ended)) end
end

-- That slot has led to a seat, and leads to no other.
local function use(slot)
  call('ZADD', SLOTS, exact(slot), exact(slot))
  forget_slots(2)
end

-- Until somebody who has room takes in the next client.
local function ready_in()
  local first = call('ZRANGE', PARKED, 0, 0, 'WITHSCORES')
  return math.max(tonumber(first[2]) - now, WHEN_BEHIND_S / 100)
end

-- How many of a set's or sorted set's members are not excluded.
local function others(size, asked, key, exclude)
  local count = call(size, key)
  for _, id in ipairs(exclude) do
    local found = call(asked, key, id)
    if found and found ~= 0 then count = count - 1 end
  end
  return count
end
