-- The run itself: settles what has run out, answers the calls, writes back what they changed.

-- Ends what has run out, a portion of each kind; returns how many seats that freed.
local function settle()
  local freed, touched = 0, {}
  for _, jti in ipairs(call('ZRANGEBYSCORE', HOLDS, '-inf', NOW, 'LIMIT', 0, PORTION)) do
    local seat = seat_of(jti)
    if seat then
      apply(seat, 'hold_ends')
      touched[handler_of(seat.handler)] = true
      freed = freed + 1
    end
    call('ZREM', HOLDS, jti)
  end
  for _, jti in ipairs(call('ZRANGEBYSCORE', TICKETS, '-inf', NOW, 'LIMIT', 0, PORTION)) do
    local seat = seat_of(jti)
    if seat then apply(seat, 'ticket_ends') end
    call('ZREM', TICKETS, jti)
  end
  for _, id in ipairs(call('ZRANGEBYSCORE', SILENCE, '-inf', NOW, 'LIMIT', 0, PORTION)) do
    call('ZREM', SILENCE, id)
    local handler = handler_of(id)
    if handler then
      handler.silent = true
      touched[handler] = true
    end
  end
  for _, id in ipairs(call('ZRANGEBYSCORE', PARKED, '-inf', NOW, 'LIMIT', 0, PORTION)) do
    local handler = handler_of(id)
    if handler then touched[handler] = true else call('ZREM', PARKED, id) end
  end
  for handler in pairs(touched) do place(handler) end
  clear_lost(PORTION)
  return freed
end

local freed_by_run = settle()

function ops.sweep()
  -- Listed once, and by no gateway since: it left the registry while nobody looked. Or those that looked could
  -- not say so: each tells its view again.
  local some = some_handlers()
  for _, handler in ipairs(some) do
    if is_listed(handler) and now - handler.vouched_at >= pool.vouched_s then
      delist(handler)
      call('HDEL', META, 'view')
    end
  end
  local freed = freed_by_run + forget(some)
  freed_by_run = 0
  forget_slots(PORTION)
  -- Somebody set the clock back: nobody's death is noticed later for it, and nobody waits longer for a token.
  for _, id in ipairs(call('ZRANGEBYSCORE', SILENCE, '(' .. DEAD_AT, '+inf', 'LIMIT', 0, PORTION)) do
    call('ZADD', SILENCE, DEAD_AT, id)
  end
  local too_late = '(' .. exact(now + pool.longest_wait_s)
  for _, id in ipairs(call('ZRANGEBYSCORE', PARKED, too_late, '+inf', 'LIMIT', 0, PORTION)) do
    if handler_of(id) then place(handler_of(id)) end
  end
  for _, key in ipairs(KEYS) do call('PEXPIRE', key, KEPT_MS) end
  return tostring(freed)
end

-- One call that can't be answered must not take the others with it.
local answers = {}
for i, asked in ipairs(cjson.decode(ARGV[3])) do
  local answered, answer = pcall(ops[asked[1]], unpack(asked, 2))
  if not answered then
    answer = cjson.encode({error = type(answer) == 'table' and answer.err or tostring(answer)})
  end
  answers[i] = answer
end

save_handlers()
save_decisions()
for row, last in pairs(numbers) do call('HSET', META, row, exact(last)) end
local view = call('HGET', META, 'view') or ''
return '["' .. view .. '",[' .. table.concat(answers, ',') .. '],' .. cjson.encode(settled) .. ']'
