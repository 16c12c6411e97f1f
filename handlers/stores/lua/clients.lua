-- What clients' requests need: a seat, giving it back, where a user sits.

local ops = {}

local ACTIVE_LOOKED_AT = 16 -- connections of one user, at most, of which one at a live handler is looked for

-- The seat that an earlier request of the same client got, while that is held and wanted.
local function repeated_seat(uid, client_id, exclude, moving)
  local excluded = set_of(exclude)
  for _, seat in ipairs(seats_of(uid, moving and 'm' or 'u', pool.repeats_looked_at)) do
    if seat.client_id == client_id and seat.state == 'reserved' then
      if not excluded[seat.handler] and not closed(handler_of(seat.handler)) then return seat end
    end
  end
  return nil
end

local function no_room(exclude)
  if others('SCARD', 'SISMEMBER', FULL, exclude) == 0 then
    return cjson.encode({'no_handlers', exact(pool.dead_after_s)})
  end
  local first = call('ZRANGE', HOLDS, 0, 0, 'WITHSCORES')
  local wait_s = first[2] and math.max(tonumber(first[2]) - now, WHEN_BEHIND_S) or pool.retry_when_full_s
  return cjson.encode({'no_capacity', exact(wait_s)})
end

-- Whether the user may have one more: a refusal or nil, and the seat that gives way, the oldest in standby.
local function limit(uid)
  -- Some may be of an incarnation that is over: there are at most so many, and mostly that is few enough.
  if count_with(USERS, user_prefix(uid) .. 'u') < pool.seats_per_user then return nil end
  local seats = seats_of(uid, 'u', -1)
  if #seats < pool.seats_per_user then return nil end
  local hold_ends = math.huge
  for i = #seats, 1, -1 do
    local seat = seats[i]
    if seat.state == 'standby' then return nil, seat end
    hold_ends = math.min(hold_ends, seat.held_until)
  end
  return cjson.encode({'rate_limited', exact(hold_ends - now)})
end

-- Nil if it is the turn of a request for which the order has `chosen`.
local function refusal(chosen, uid, exclude, slot, moving)
  if not chosen then
    if others('ZCARD', 'ZSCORE', PARKED, exclude) == 0 then return no_room(exclude) end
    if moving then return cjson.encode({'no_capacity', exact(ready_in())}) end
  elseif moving or not slot and last_appointment() <= now then
    return nil
  end
  if slot and keeps(slot) then
    if slot > now then return come_back(slot - now, slot) end
    return not chosen and come_back(ready_in(), slot) or nil
  end
  if chosen and last_appointment() <= now then return nil end
  return limit(uid) or appointment()
end

-- What a seat's answer says of its handler: the same for all seats of a run.
local described = {}

local function seat_answer(seat, handler, load)
  local inc = handler.inc
  if not described[inc] then
    described[inc] = cjson.encode({handler.id, exact(handler.epoch), handler.url, handler.path})
  end
  local at = seat.at == now and NOW or exact(seat.at)
  local parts = {cjson.encode(seat.jti), described[inc], at, NOW, load, seat.sequence}
  return '["seat",' .. table.concat(parts, ',') .. ']'
end

local decided = {} -- in this run: field, value, field, value

local function save_decisions()
  if #decided > 0 then call('HSET', DECISIONS, unpack(decided)) end
  decided = {}
end

-- Why this handler. Written as it fell, and put into words only for who asks. No id has control characters.
local function record(sequence, uid, chosen, last, exclude, ranks)
  if #decided >= 256 then save_decisions() end
  decided[#decided + 1] = sequence % pool.decisions_kept
  local excluded = #exclude > 0 and table.concat(exclude, '\1')
  decided[#decided + 1] = cmsgpack.pack(sequence, NOW, uid, chosen, last, excluded, table.concat(ranks, '\1'))
end

function ops.alloc(jti, uid, client_id, last, exclude, slot, moving)
  local seat = client_id and repeated_seat(uid, client_id, exclude, moving)
  if seat then
    seat.shared = true
    call('HSET', SEATS, seat.jti, cmsgpack.pack(seat))
    local handler = handler_of(seat.handler)
    return seat_answer(seat, handler, load_of(handler))
  end
  if not moving then doubt(exclude, uid) end
  local handler, ranks = choose(exclude, last)
  local refused = refusal(handler, uid, exclude, slot, moving)
  if refused then return refused end
  if not moving then
    local limited, replaced = limit(uid)
    if limited then return limited end
    if replaced then apply(replaced, 'cancel') end
  end
  if slot and keeps(slot) then use(slot) end
  handler.allocated = next_number('allocations', 0)
  record(handler.allocated, uid, handler.id, last, exclude, ranks)
  seat = {
    jti = jti, uid = uid, handler = handler.id, inc = handler.inc, epoch = handler.epoch,
    at = now, held_until = moving and now + pool.moving_hold_s or hold_end,
    ticket_until = now + (moving and pool.moving_ticket_s or pool.ticket_s),
    client_id = client_id or nil, moving = moving or nil, sequence = handler.allocated, state = 'reserved',
  }
  enter(seat)
  take_in(handler)
  return seat_answer(seat, handler, place(handler))
end

function ops.batch_alloc(requests)
  local answers = {}
  for i, request in ipairs(requests) do answers[i] = ops.alloc(unpack(request)) end
  return '[' .. table.concat(answers, ',') .. ']'
end

function ops.cancel(jti)
  local seat = seat_of(jti)
  if not seat or not is_unconfirmed(seat) or seat.shared then return 'false' end
  apply(seat, 'cancel')
  place(handler_of(seat.handler))
  return 'true'
end

local function located(seat, connected)
  local handler = handler_of(seat.handler)
  return cjson.encode({handler.id, exact(seat.epoch), handler.url, connected})
end

function ops.locate(uid)
  local active = seats_of(uid, 'a', ACTIVE_LOOKED_AT)
  for _, seat in ipairs(active) do
    if not handler_of(seat.handler).silent then return located(seat, true) end
  end
  local newest = nil
  for _, seats in ipairs({active, seats_of(uid, 'u', -1), seats_of(uid, 'm', 1)}) do
    for _, seat in ipairs(seats) do
      if not newest or seat.sequence > newest.sequence then newest = seat end
    end
  end
  return newest and located(newest, false) or 'null'
end

local function sits(uid, handler_id)
  for _, kind in ipairs({'a', 'u', 'm'}) do
    for _, seat in ipairs(seats_of(uid, kind, pool.repeats_looked_at)) do
      if seat.handler == handler_id then return true end
    end
  end
  return false
end

-- An answer for each user, in their order: a name that is no text comes back as another one.
function ops.seated(handler_id, uids)
  local answers = {}
  for i, uid in ipairs(uids) do answers[i] = tostring(sits(uid, handler_id)) end
  return '[' .. table.concat(answers, ',') .. ']'
end
