-- What every part of the script uses: the pool's keys, its limits, the time, and how records are kept.
--
-- All parts are one script, put together in the order of handlers/stores/redis.py. A run settles what has run
-- out, answers a batch of calls in their order and writes the changed handlers back; nothing else runs in
-- between. handlers/ledger.py is the same in Python and says why; here stands what differs:
--
-- * Counts are lengths of ranges and never kept as numbers, as there.
-- * A run does a bounded amount of work: what has run out is settled in portions, and the seats of a handler
--   whose incarnation is over are void at once (their `inc` is not the handler's any more) and cleared away
--   bit by bit.
-- * Time is Redis' own, unless a test gives another. Seconds, as doubles, written with all their digits.

local SEATS, USERS, PLACES, HOLDS, TICKETS = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local HANDLERS, ORDER, FULL, SILENCE = KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local META, LOST, DECISIONS, PARKED, STARTS, SLOTS = KEYS[10], KEYS[11], KEYS[12], KEYS[13], KEYS[14], KEYS[15]

local PORTION = 200 -- of each kind of thing that has run out, settled in one run
local KEPT_MS = 86400000 -- a pool that nobody sweeps for a day is gone from Redis
local NEVER = -1e18 -- a time that has passed, whatever the clock says
local WHEN_BEHIND_S = 0.1 -- to ask again after, when holds have run out that are not settled yet

local call = redis.call
local pool = cjson.decode(ARGV[1])

local now = tonumber(ARGV[2])
if not now then
  local time = call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1000000
end

local function exact(number) -- cjson would round to 14 digits
  return string.format('%.17g', number)
end

-- As text, because a number costs more each time Redis gets it.
local hold_end = now + pool.hold_s
local NOW, HOLD_END, DEAD_AT = exact(now), exact(hold_end), exact(now + pool.dead_after_s)

local written = {} -- in this run; each is asked for several times
local function digits(number) -- sorts as text as it does as a number
  local text = written[number]
  if not text then
    text = string.format('%016.0f', number)
    written[number] = text
  end
  return text
end

local function set_of(names)
  local set = {}
  for _, name in ipairs(names) do set[name] = true end
  return set
end

-- The next of a row of numbers, kept in META: allocations, confirmations, incarnations.
local numbers = {}
local function next_number(row, start)
  local last = numbers[row] or tonumber(call('HGET', META, row) or start)
  numbers[row] = last + 1
  return numbers[row]
end

-- Numbers of incarnations start with the time: if META alone is lost, none is given out twice.
local function next_incarnation()
  return next_number('incarnations', math.floor(now * 1000))
end

local settled = {} -- in this run, for the caller's metrics
local function count(what)
  settled[what] = (settled[what] or 0) + 1
end

-- The part of a sorted set of texts that starts with `prefix`. No text that follows it has a byte 0xff.
local function first_with(key, prefix, most)
  return call('ZRANGEBYLEX', key, '[' .. prefix, '(' .. prefix .. '\255', 'LIMIT', 0, most)
end

local function last_with(key, prefix, most)
  return call('ZREVRANGEBYLEX', key, '(' .. prefix .. '\255', '[' .. prefix, 'LIMIT', 0, most)
end

local function count_with(key, prefix)
  return call('ZLEXCOUNT', key, '[' .. prefix, '(' .. prefix .. '\255')
end
