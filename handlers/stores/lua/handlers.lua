-- Handlers, as handlers/roster.py keeps them, and the order in which they are tried (handlers/placement.py).
--
-- HANDLERS  id -> record; what is false is left out, because each field costs every run that needs the record
-- ORDER     those with room: score = load per weight, member = number of the last allocation there, id, byte 0,
--           load, weight; equal scores are sorted by member, so the longest unused comes first
-- PARKED    those with room that take in nobody more for a moment: id -> when they have a token again
-- FULL      ids of those that are only too full
-- STARTS    id -> when its process started, of those that are open
-- SILENCE   id -> when it counts as dead unless it reports

local loaded, changed = {}, {}

local function handler_of(id)
  local handler = loaded[id]
  if handler == nil then
    local packed = call('HGET', HANDLERS, id)
    handler = packed and cmsgpack.unpack(packed) or false
    loaded[id] = handler
  end
  return handler or nil
end

local function save_handlers()
  for id in pairs(changed) do
    call('HSET', HANDLERS, id, cmsgpack.pack(loaded[id]))
  end
  changed = {}
end

-- The next portion of them: in a large pool, each is looked at now and then.
local function some_handlers()
  save_handlers()
  local found = call('HSCAN', HANDLERS, call('HGET', META, 'scanned') or '0', 'COUNT', PORTION)
  call('HSET', META, 'scanned', found[1])
  local handlers = {}
  for i = 1, #found[2], 2 do
    local id, packed = found[2][i], found[2][i + 1]
    if loaded[id] == nil then loaded[id] = cmsgpack.unpack(packed) end
    handlers[#handlers + 1] = loaded[id] or nil
  end
  return handlers
end

local function new_handler(id, described)
  local handler = {
    id = id, url = described.url, path = described.path,
    capacity = described.capacity or pool.capacity, weight = described.weight,
    epoch = 0, inc = next_incarnation(), seq = 0, connections = 0,
    listing = 'never', allocated = 0, share = 0, up_at = NEVER, ready_at = NEVER,
  }
  loaded[id] = handler
  return handler
end

local BY_LISTING = {failing = 'not_passing', maintenance = 'maintenance', delisted = 'delisted'}

-- Why it gets no clients however empty it is; nil when it may get some.
local function closed(handler)
  if handler.drain_by then return 'draining' end
  if handler.leaving then return 'leaving' end
  if BY_LISTING[handler.listing] then return BY_LISTING[handler.listing] end
  if handler.epoch == 0 and handler.speaks then return 'no_hello' end
  if handler.silent then return 'silent' end
  return nil
end

-- What is wanted of it while it is to lose its clients: remaining seconds and a rate, or nil.
local function order_for(handler)
  local by = handler.drain_by or handler.maintained_by
  if not by then return nil end
  local rate = handler.drain_by and handler.drain_rate
  return {exact(math.max(by - now, 0)), rate and exact(rate) or false}
end

-- How many seats count against the capacity of an incarnation. `enter` and `leave` keep what was counted in
-- this run up to date; the next run counts anew, so it can't drift.
local counted = {}

local function held(handler)
  local inc = handler.inc
  if not counted[inc] then counted[inc] = count_with(PLACES, digits(inc) .. 'h') end
  return counted[inc]
end

local function load_of(handler)
  return handler.connections + held(handler)
end

-- The share of new handlers, as far as it was counted in this run and has not changed since (throttle.lua).
local counted_share = nil

-- Puts a handler where its state belongs: in the order, among the parked or the full, or nowhere. Returns its
-- load.
local function place(handler)
  local load = load_of(handler)
  local share = load / handler.weight
  local open = not closed(handler)
  local full = open and load >= handler.capacity or nil
  if handler.ready_at - now > pool.longest_wait_s then handler.ready_at = NEVER end -- the clock was set back
  local parked = open and not full and handler.ready_at > now and handler.ready_at or nil
  local rank = open and not full and not parked
    and digits(handler.allocated) .. handler.id .. '\0' .. load .. ' ' .. handler.weight or nil
  local start = open and handler.up_at or nil
  if handler.rank and handler.rank ~= rank then call('ZREM', ORDER, handler.rank) end
  if rank then call('ZADD', ORDER, share, rank) end
  if full ~= handler.full then call(full and 'SADD' or 'SREM', FULL, handler.id) end
  if parked ~= handler.parked then
    call(parked and 'ZADD' or 'ZREM', PARKED, unpack(parked and {exact(parked), handler.id} or {handler.id}))
  end
  if start ~= handler.start then
    counted_share = nil
    call(start and 'ZADD' or 'ZREM', STARTS, unpack(start and {exact(start), handler.id} or {handler.id}))
  end
  handler.rank, handler.share, handler.full = rank, share, full
  handler.parked, handler.start = parked, start
  changed[handler.id] = true
  return load
end

local function id_in(rank)
  return string.sub(rank, 17, string.find(rank, '\0', 17, true) - 1)
end

-- The first that is not excluded; `last` instead, if it stands there with about as little load. Also returns
-- the ranks on which this depended.
local function choose(exclude, last)
  local excluded = set_of(exclude)
  local ranks = call('ZRANGE', ORDER, 0, #exclude + pool.candidates - 1)
  for _, rank in ipairs(ranks) do
    local id = id_in(rank)
    if not excluded[id] then
      local first, hinted = handler_of(id), last and not excluded[last] and handler_of(last)
      if not hinted or not hinted.rank then return first, ranks end
      ranks[#ranks + 1] = hinted.rank
      local near = hinted.share <= (1 + pool.affinity) * first.share + pool.one_more
      return near and hinted or first, ranks
    end
  end
  return nil
end

local function heard(handler)
  handler.heard_at, handler.silent, handler.doubters = now, nil, nil
  call('ZADD', SILENCE, DEAD_AT, handler.id)
  place(handler)
end

local function fall_silent(handler)
  call('ZREM', SILENCE, handler.id)
  handler.silent = true
  place(handler)
end

-- A client could not reach those. When several users say so, one report's silence is enough.
local function doubt(ids, uid)
  for _, id in ipairs(ids) do
    local handler = handler_of(id)
    local doubters = handler and (handler.doubters or {})
    if handler and handler.heard_at and #doubters < pool.doubters and not set_of(doubters)[uid] then
      doubters[#doubters + 1] = uid
      handler.doubters, changed[id] = doubters, true
      if #doubters == pool.doubters then
        local dead_at = handler.heard_at + pool.suspect_after_s
        if dead_at <= now then fall_silent(handler) else call('ZADD', SILENCE, exact(dead_at), id) end
      end
    end
  end
end

-- Every seat of its incarnation is void from now on.
local function lose_seats(handler)
  call('RPUSH', LOST, handler.inc)
end

-- Forgets a handler for good; returns how many held seats were lost with it.
local function handler_gone(handler)
  local lost = held(handler)
  if handler.rank then call('ZREM', ORDER, handler.rank) end
  call('SREM', FULL, handler.id)
  for _, key in ipairs({SILENCE, PARKED, STARTS}) do call('ZREM', key, handler.id) end
  call('HDEL', HANDLERS, handler.id)
  counted_share = nil
  lose_seats(handler)
  loaded[handler.id], changed[handler.id] = false, nil
  return lost
end

local function is_listed(handler)
  return handler.listing ~= 'never' and handler.listing ~= 'delisted'
end

local function delist(handler)
  if handler.listing == 'never' then return end
  handler.listing, handler.maintained_by = 'delisted', nil
  place(handler)
end

-- Forgets those for whom neither the registry nor their process speaks any more.
local function forget(handlers)
  local freed = 0
  for _, handler in ipairs(handlers) do
    if not is_listed(handler) and (not handler.heard_at or now - handler.heard_at >= pool.forget_after_s) then
      freed = freed + handler_gone(handler)
    end
  end
  return freed
end
