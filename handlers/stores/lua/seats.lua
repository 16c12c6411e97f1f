-- Seats, findable by ticket, by user and by handler: handlers/seats.py and handlers/seat_life.py.
--
-- SEATS    jti -> record
-- USERS    length of uid ":" uid ":" then "u" (unconfirmed), "m" (moving here) or "a" (active), a number, jti
-- PLACES   incarnation, then "h" (held: counts against the capacity) or "o", jti
-- HOLDS    jti -> end of the hold, of the reserved
-- TICKETS  jti -> end of the ticket, of those in standby
-- LOST     incarnations that are over, whose seats are to be cleared away

local LIFE = {
  reserved = {
    confirm = 'active', close = 'done', hold_ends = 'standby', cancel = 'cancelled', admit = 'reserved',
  },
  standby = {
    confirm = 'active', close = 'done', ticket_ends = 'expired', cancel = 'cancelled', admit = 'reserved',
  },
  active = {confirm = 'active', close = 'done'},
}

local COUNTED = {confirm = 'confirmed', ticket_ends = 'expired', cancel = 'cancelled', close = 'closed'}

local function user_prefix(uid)
  return #uid .. ':' .. uid .. ':'
end

local function user_entry(seat)
  if seat.state == 'active' then return user_prefix(seat.uid) .. 'a' .. digits(seat.nth) .. seat.jti end
  return user_prefix(seat.uid) .. (seat.moving and 'm' or 'u') .. digits(seat.sequence) .. seat.jti
end

local function place_entry(seat)
  return digits(seat.inc) .. (seat.state == 'reserved' and 'h' or 'o') .. seat.jti
end

local function enter(seat)
  if seat.state == 'active' then seat.nth = next_number('confirmations', 0) end
  if seat.state == 'reserved' then
    call('ZADD', HOLDS, seat.held_until == hold_end and HOLD_END or exact(seat.held_until), seat.jti)
    if counted[seat.inc] then counted[seat.inc] = counted[seat.inc] + 1 end
  end
  if seat.state == 'standby' then call('ZADD', TICKETS, exact(seat.ticket_until), seat.jti) end
  if seat.uid ~= '' then call('ZADD', USERS, '0', user_entry(seat)) end
  call('ZADD', PLACES, '0', place_entry(seat))
  call('HSET', SEATS, seat.jti, cmsgpack.pack(seat))
end

local function leave(seat)
  if seat.state == 'reserved' then
    call('ZREM', HOLDS, seat.jti)
    if counted[seat.inc] then counted[seat.inc] = counted[seat.inc] - 1 end
  end
  if seat.state == 'standby' then call('ZREM', TICKETS, seat.jti) end
  if seat.uid ~= '' then call('ZREM', USERS, user_entry(seat)) end
  call('ZREM', PLACES, place_entry(seat))
end

local function clear_away(seat)
  leave(seat)
  call('HDEL', SEATS, seat.jti)
end

-- The only way a seat changes its state.
local function apply(seat, event)
  local after = LIFE[seat.state][event]
  if not after then error('a seat that is ' .. seat.state .. " can't " .. event) end
  leave(seat)
  if COUNTED[event] and after ~= seat.state then count(COUNTED[event]) end
  seat.state = after
  if LIFE[after] then enter(seat) else call('HDEL', SEATS, seat.jti) end
end

-- The live seat of that name. One of an incarnation that is over is cleared away on the way.
local function seat_of(jti)
  local packed = call('HGET', SEATS, jti)
  if not packed then return nil end
  local seat = cmsgpack.unpack(packed)
  local handler = handler_of(seat.handler)
  if handler and handler.inc == seat.inc then return seat end
  clear_away(seat)
  return nil
end

local function is_unconfirmed(seat)
  return seat.state == 'reserved' or seat.state == 'standby'
end

-- A user's seats of one kind ('u', 'm' or 'a', as in USERS): the newest first, and only so many of them.
local function seats_of(uid, kind, most)
  local prefix = user_prefix(uid) .. kind
  local seats = {}
  for _, entry in ipairs(last_with(USERS, prefix, most)) do
    seats[#seats + 1] = seat_of(string.sub(entry, #prefix + 17))
  end
  return seats
end

-- A process speaks for its own seats only; of others, and of unknown ones, nothing changes.
local function settle_jtis(handler, jtis, event)
  for _, jti in ipairs(jtis) do
    local seat = seat_of(jti)
    if seat and seat.handler == handler.id then apply(seat, event) end
  end
end

-- Clears away up to `most` seats of incarnations that are over. They have counted for nothing since then.
local function clear_lost(most)
  local inc = call('LINDEX', LOST, 0)
  if not inc then return end
  local prefix = digits(tonumber(inc))
  local entries = first_with(PLACES, prefix, most)
  for _, entry in ipairs(entries) do
    local packed = call('HGET', SEATS, string.sub(entry, 18))
    if packed then clear_away(cmsgpack.unpack(packed)) end
    call('ZREM', PLACES, entry)
  end
  if #entries < most then call('LPOP', LOST) end
end
