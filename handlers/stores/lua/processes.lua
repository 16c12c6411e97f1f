-- What handler processes say: here I am, so many are here, may this late one come in.

-- A new incarnation: its counts start anew, and a drain of the one before is over.
local function begin(handler, hello)
  if handler.epoch > 0 then handler.drain_by = nil end
  if handler.listing == 'delisted' then handler.listing = 'never' end
  lose_seats(handler)
  handler.epoch, handler.inc = hello.epoch, next_incarnation()
  handler.seq, handler.connections, handler.leaving = 0, hello.connections, nil
  handler.up_at, handler.ready_at = hello.connections > 0 and NEVER or now, NEVER
end

function ops.hello(hello)
  local handler = handler_of(hello.id) or new_handler(hello.id, hello)
  if hello.epoch < handler.epoch then return '"stale_epoch"' end
  if hello.epoch > handler.epoch then begin(handler, hello) end
  handler.url, handler.path = hello.url, hello.path
  handler.capacity, handler.weight = hello.capacity, hello.weight
  handler.connections = math.max(handler.connections, hello.connections)
  settle_jtis(handler, hello.known, 'confirm')
  heard(handler)
  return 'null'
end

local function wanted_of(handler)
  local order = order_for(handler)
  return order and cjson.encode(order) or 'null'
end

function ops.report(report)
  local handler = handler_of(report.id)
  if not handler or handler.epoch < report.epoch then return '"unknown_handler"' end
  if handler.epoch > report.epoch then return '"stale_epoch"' end
  if report.seq <= handler.seq then return wanted_of(handler) end
  handler.seq, handler.connections, handler.leaving = report.seq, report.connections, report.leaving or nil
  settle_jtis(handler, report.confirmed, 'confirm')
  settle_jtis(handler, report.closed, 'close')
  heard(handler)
  return wanted_of(handler)
end

function ops.admit_late(id, epoch, jti)
  local handler = handler_of(id)
  if not handler or epoch == 0 or handler.epoch ~= epoch or closed(handler) then return 'false' end
  local seat = seat_of(jti)
  if seat and (seat.handler ~= handler.id or not is_unconfirmed(seat)) then return 'false' end
  local is_held = seat and seat.state == 'reserved'
  if not is_held and load_of(handler) >= handler.capacity then return 'false' end
  if seat then
    -- Its ticket is in use: from now on a repeated request needs another seat.
    seat.client_id, seat.held_until = nil, math.max(seat.held_until, now + pool.hold_s)
    apply(seat, 'admit')
  else
    enter({
      jti = jti, uid = '', handler = handler.id, inc = handler.inc, epoch = handler.epoch,
      at = now, held_until = now + pool.hold_s, ticket_until = now + pool.hold_s,
      sequence = 0, state = 'reserved',
    })
  end
  count('late')
  place(handler)
  return 'true'
end
