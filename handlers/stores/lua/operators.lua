-- What the registry and operators say, and what they see.

-- Whether what a gateway heard then goes before what the pool knows of that handler.
local function is_news(handler, heard_at)
  local known_at = handler.listed_at
  return not known_at or known_at <= heard_at or known_at > now -- the last: the clock was set back
end

-- One gateway's view, heard `age_s` ago. It takes out only what that gateway has seen go: one that has just
-- started, or may not read the registry, must not empty the pool for all others.
function ops.sync(known_handlers, gone, age_s)
  local heard_at = now - age_s
  for _, known in ipairs(known_handlers) do
    local handler = handler_of(known.id) or new_handler(known.id, known)
    if is_news(handler, heard_at) then
      handler.listing = known.draining and 'maintenance' or known.healthy and 'passing' or 'failing'
      handler.maintained_by = known.draining and (handler.maintained_by or now + pool.drain_s) or nil
      handler.speaks, handler.vouched_at, handler.listed_at = known.speaks or nil, now, heard_at
      if handler.epoch == 0 then
        handler.url, handler.path, handler.weight = known.url, known.path, known.weight
        handler.capacity = known.capacity or pool.capacity
      end
      place(handler)
    end
  end
  for _, id in ipairs(gone) do
    local handler = handler_of(id)
    if handler and is_news(handler, heard_at) then
      handler.listed_at = heard_at
      delist(handler)
    end
  end
  forget(some_handlers())
  call('HSETNX', META, 'view', NOW)
  return 'null'
end

-- A gateway still sees those. It may have been cut off from the registry since, so this changes nothing but how
-- long they are believed.
function ops.vouch(ids)
  for _, id in ipairs(ids) do
    local handler = handler_of(id)
    if handler and is_listed(handler) then handler.vouched_at, changed[id] = now, true end
  end
  return 'null'
end

function ops.drain(id, order)
  local handler = handler_of(id)
  if not handler then return 'false' end
  handler.drain_by = order and now + order[1] or nil
  handler.drain_rate = order and order[2] or nil
  place(handler)
  return 'true'
end

function ops.decision(field)
  save_decisions()
  local packed = call('HGET', DECISIONS, field)
  if not packed then return 'null' end
  local sequence, at, uid, chosen, last, exclude, ranks = cmsgpack.unpack(packed)
  return cjson.encode({exact(sequence), at, uid, chosen, last, exclude, ranks})
end

local function state_of(handler)
  local held_now = held(handler)
  local full = handler.connections + held_now >= handler.capacity
  return cjson.encode({
    handler.id, handler.url, handler.path, handler.weight, exact(handler.epoch), handler.capacity,
    handler.connections, held_now, handler.drain_by ~= nil, order_for(handler) or false,
    closed(handler) or full and 'full' or '',
    handler.heard_at and exact(math.max(now - handler.heard_at, 0)) or false,
    exact(tokens_of(handler)), exact(rate_of(handler)),
  })
end

function ops.ids()
  save_handlers()
  local ids = call('HKEYS', HANDLERS)
  return #ids > 0 and cjson.encode(ids) or '[]'
end

function ops.states(ids)
  local states = {}
  for _, id in ipairs(ids) do
    local handler = handler_of(id)
    if handler then states[#states + 1] = state_of(handler) end
  end
  return '[' .. table.concat(states, ',') .. ']'
end
