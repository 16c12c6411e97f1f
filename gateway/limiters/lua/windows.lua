-- Requests per sliding window, counted as gateway/windows.py counts them, for all gateways together.
--
-- A key is a list of "tick:before:after", oldest first: in that tick (a thousandth of the window, rounded up)
-- the requests that were ever counted rose from `before` to `after`. So a window's total is the difference of
-- its ends, and no number is kept that could drift. The list lives as long as its window.
--
-- KEYS[1] is who is there; the others are windows, which the calls name by their place.

local TICKS = 1000
local PRESENT_S = 10 -- a gateway that has counted nothing for so long is not there

local call = redis.call
local now = tonumber(ARGV[1])
if not now then
  local time = call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1000000
end

local function entry_at(key, place)
  local text = call('LINDEX', key, place)
  if not text then return nil end
  local tick, before, after = string.match(text, '^(%d+):(%d+):(%d+)$')
  return {tick = tonumber(tick), before = tonumber(before), after = tonumber(after)}
end

local function text_of(entry)
  return string.format('%.0f:%.0f:%.0f', entry.tick, entry.before, entry.after)
end

local function end_of(window, tick)
  return (tick + TICKS) * window.tick_s
end

local function total(window)
  return window.first and window.last.after - window.first.before or 0
end

local windows = {}

-- What still counts of a key, up to now.
local function window_of(place, window_s)
  if windows[place] then return windows[place] end
  local key = KEYS[place]
  local window = {key = key, window_s = window_s, tick_s = window_s / TICKS, first = entry_at(key, 0)}
  while window.first and end_of(window, window.first.tick) <= now do
    call('LPOP', key)
    window.first = entry_at(key, 0)
  end
  window.last = window.first and entry_at(key, -1)
  windows[place] = window
  return window
end

local function count(window)
  local tick, last = math.ceil(now / window.tick_s), window.last
  if last and last.tick >= tick then
    last.after = last.after + 1
    if window.first.tick == last.tick then window.first = last end
  else
    local before = last and last.after or 0
    window.last = {tick = tick, before = before, after = before + 1}
    window.first = window.first or window.last
    window.added = true
  end
  window.changed = true
end

-- Writes down what was counted since it was written last: however many requests of one run, in one go.
local function write(window)
  if not window.changed then return end
  if window.added then
    call('RPUSH', window.key, text_of(window.last))
  else
    call('LSET', window.key, -1, text_of(window.last))
  end
  call('PEXPIRE', window.key, math.ceil(window.window_s * (1000 + 2)))
  window.changed, window.added = false, false
end

-- Seconds until another request is within `limit`; of a limit of 0, which never is, a window.
local function room_in(window, limit)
  if total(window) < limit then return 0 end
  write(window)
  local leaving, place = total(window) - limit + 1, 0
  local entry = window.first
  while entry do
    if entry.after - window.first.before >= leaving then return end_of(window, entry.tick) - now end
    place = place + 1
    entry = entry_at(window.key, place)
  end
  return window.window_s
end

-- One request against all rules of a list or none: places of windows, limits and seconds, one rule behind the
-- other. What follows in `answers` is the tightest rule's number in the list, and its numbers.
local function hit(rules, answers)
  local allowed = true
  for i = 1, #rules, 3 do
    if total(window_of(rules[i], rules[i + 2])) >= rules[i + 1] then allowed = false end
  end
  if allowed then
    for i = 1, #rules, 3 do count(windows[rules[i]]) end
  end
  local tightest, remaining, wait_s
  for i = 1, #rules, 3 do
    local window, limit = windows[rules[i]], rules[i + 1]
    local left = math.max(limit - total(window), 0)
    local wait = allowed and 0 or room_in(window, limit)
    if not tightest or left < remaining or left == remaining and wait > wait_s then
      tightest, remaining, wait_s = i, left, wait
    end
  end
  local first = windows[rules[tightest]].first
  local at = #answers
  answers[at + 1], answers[at + 2], answers[at + 3] = (tightest - 1) / 3, allowed, remaining
  answers[at + 4] = first and end_of(windows[rules[tightest]], first.tick) - now or 0
  answers[at + 5] = wait_s
end

call('ZADD', KEYS[1], now, ARGV[2])
call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - PRESENT_S)
call('PEXPIRE', KEYS[1], PRESENT_S * 1000)

-- Lists of rules, and by the place of its list in there, each request.
local asked = cjson.decode(ARGV[3])
local answers = {}
for _, place in ipairs(asked[2]) do hit(asked[1][place], answers) end
for _, window in pairs(windows) do write(window) end
return cjson.encode({call('ZCARD', KEYS[1]), answers})
