-- What clients' requests need: a seat, giving it back, where a user sits.

local ops = {}

local ACTIVE_LOOKED_AT = 16 -- connections of one user, at most, of which one at a live handler is looked for

-- The seat that an earlier request of the same client got, while that is held and wanted.
local function repeated_seat(request)
  if not request.client_id then return nil end
  local excluded = {}
  for _, id in ipairs(request.exclude) do excluded[id] = true end
  local seats = unconfirmed_of(request.uid)
  for i = #seats, 1, -1 do
    local seat = seats[i]
    if seat.client_id == request.client_id and seat.state == 'reserved' then
      if not excluded[seat.handler] and not closed(handler_of(seat.handler)) then return seat end
    end
  end
  return nil
end

local function refusal(exclude)
  local full = call('SCARD', FULL)
  for _, id in ipairs(exclude) do full = full - call('SISMEMBER', FULL, id) end
  if full == 0 then return cjson.encode({'no_handlers', exact(pool.dead_after_s)}) end
  local first = call('ZRANGE', HOLDS, 0, 0, 'WITHSCORES')
  local wait_s = first[2] and math.max(tonumber(first[2]) - now, WHEN_BEHIND_S) or pool.retry_when_full_s
  return cjson.encode({'no_capacity', exact(wait_s)})
end

-- Makes sure that the user may have one more: of those in standby the oldest gives way. Returns a refusal or nil.
local function make_way(uid)
  if count_with(USERS, user_prefix(uid) .. 'u') < pool.seats_per_user then return nil end
  local seats = unconfirmed_of(uid)
  if #seats < pool.seats_per_user then return nil end
  local hold_ends = math.huge
  for _, seat in ipairs(seats) do
    if seat.state == 'standby' then
      apply(seat, 'cancel')
      return nil
    end
    hold_ends = math.min(hold_ends, seat.held_until)
  end
  return cjson.encode({'rate_limited', exact(hold_ends - now)})
end

local function seat_answer(seat, handler, load)
  return cjson.encode({
    'seat', seat.jti, handler.id, exact(seat.epoch), handler.url, handler.path,
    exact(seat.at), exact(now), load, seat.sequence,
  })
end

function ops.alloc(request)
  local seat = repeated_seat(request)
  if seat then
    seat.shared = true
    call('HSET', SEATS, seat.jti, cmsgpack.pack(seat))
    local handler = handler_of(seat.handler)
    return seat_answer(seat, handler, load_of(handler))
  end
  local handler = first_in_order(request.exclude, request.last)
  if not handler then return refusal(request.exclude) end
  local refused = make_way(request.uid)
  if refused then return refused end
  handler.allocated = next_number('allocations')
  seat = {
    jti = request.jti, uid = request.uid, handler = handler.id, inc = handler.inc, epoch = handler.epoch,
    at = now, held_until = now + pool.hold_s, ticket_until = now + pool.ticket_s,
    client_id = request.client_id, sequence = handler.allocated, shared = false, state = 'reserved',
  }
  enter(seat)
  return seat_answer(seat, handler, place(handler))
end

function ops.cancel(request)
  local seat = seat_of(request.jti)
  if not seat or not is_unconfirmed(seat) or seat.shared then return 'false' end
  apply(seat, 'cancel')
  place(handler_of(seat.handler))
  return 'true'
end

local function located(seat, connected)
  local handler = handler_of(seat.handler)
  return cjson.encode({handler.id, exact(seat.epoch), handler.url, connected})
end

function ops.locate(request)
  local active = active_of(request.uid, ACTIVE_LOOKED_AT)
  for _, seat in ipairs(active) do
    if not handler_of(seat.handler).silent then return located(seat, true) end
  end
  local newest = nil
  for _, seats in ipairs({active, unconfirmed_of(request.uid)}) do
    for _, seat in ipairs(seats) do
      if not newest or seat.sequence > newest.sequence then newest = seat end
    end
  end
  return newest and located(newest, false) or 'null'
end
