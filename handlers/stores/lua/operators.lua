-- What the registry and operators say, and what they see.

-- One gateway's view. It takes out only what that gateway has seen go: one that has just started, or may not
-- read the registry, must not empty the pool for all others.
function ops.sync(known_handlers, gone)
  for _, known in ipairs(known_handlers) do
    local handler = handler_of(known.id) or new_handler(known.id, known)
    handler.listing = known.draining and 'maintenance' or known.healthy and 'passing' or 'failing'
    handler.maintained_by = known.draining and (handler.maintained_by or now + pool.drain_s) or nil
    handler.speaks, handler.vouched_at = known.speaks or nil, now
    if handler.epoch == 0 then
      handler.url, handler.path, handler.weight = known.url, known.path, known.weight
      handler.capacity = known.capacity or pool.capacity
    end
    place(handler)
  end
  for _, id in ipairs(gone) do
    local handler = handler_of(id)
    if handler then delist(handler) end
  end
  forget_handlers()
  call('HSET', META, 'view', 1)
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

function ops.states()
  local states = {}
  for _, handler in ipairs(all_handlers()) do
    local held_now = held(handler)
    local full = handler.connections + held_now >= handler.capacity
    states[#states + 1] = cjson.encode({
      handler.id, handler.url, handler.path, handler.weight, exact(handler.epoch), handler.capacity,
      handler.connections, held_now, handler.drain_by ~= nil, order_for(handler) or false,
      closed(handler) or full and 'full' or '',
      handler.heard_at and exact(math.max(now - handler.heard_at, 0)) or false,
      exact(tokens_of(handler)), exact(rate_of(handler)),
    })
  end
  return '[' .. table.concat(states, ',') .. ']'
end
