-- Kept answers, for all gateways together: several calls in one run.
--
-- A URI's index is its generation and the names of the headers that its answers vary by. An answer carries the
-- generation it belongs to, so dropping the index drops them all at once, for every user and variant. Whoever
-- drops leaves a mark behind for a while: what was asked for before that is not kept after it.
--
-- Each call has three keys (index, mark, answer) and six arguments; the first says what to do.

local call = redis.call
local GENERATION = 32

local function read_index(key)
  local index = call('GET', key)
  if not index then return nil, '' end
  return string.sub(index, 1, GENERATION), string.sub(index, GENERATION + 1)
end

-- How much of what follows is the mark, and how much the names; then whether the answer is one by these names.
local function told(kind, mark, names, answer)
  return kind .. struct.pack('>I2I2', #mark, #names) .. mark .. names .. (answer or '')
end

local does = {}

-- guessed names
function does.find(index_key, mark_key, answer_key, guessed)
  local mark = call('GET', mark_key) or ''
  local generation, names = read_index(index_key)
  if not generation then return told('-', mark, '') end
  if names ~= guessed then return told('?', mark, names) end
  local answer = call('GET', answer_key)
  if not answer or string.sub(answer, 1, GENERATION) ~= generation then return told('-', mark, names) end
  return told('+', mark, names, string.sub(answer, GENERATION + 1))
end

-- mark as found, names, a new generation, milliseconds, answer
function does.keep(index_key, mark_key, answer_key, mark, names, new, keep_ms, answer)
  if (call('GET', mark_key) or '') ~= mark then return '-' end
  local generation = read_index(index_key) or new
  local index_ms = math.max(tonumber(keep_ms), call('PTTL', index_key))
  -- A Redis that is full says so to this call alone: others of the same run only read.
  local kept = redis.pcall('SET', answer_key, generation .. answer, 'PX', keep_ms)
  if kept.err then return '-' end
  call('SET', index_key, generation .. names, 'PX', index_ms)
  return '+'
end

-- a new mark, milliseconds
function does.drop(index_key, mark_key, _, mark, keep_ms)
  call('DEL', index_key)
  call('SET', mark_key, mark, 'PX', keep_ms)
  return '+'
end

local answers = {}
for n = 0, #KEYS / 3 - 1 do
  local a = n * 6
  local answer = does[ARGV[a + 1]](
    KEYS[n * 3 + 1], KEYS[n * 3 + 2], KEYS[n * 3 + 3],
    ARGV[a + 2], ARGV[a + 3], ARGV[a + 4], ARGV[a + 5], ARGV[a + 6]
  )
  answers[#answers + 1] = struct.pack('>I4', #answer) .. answer
end
return table.concat(answers)
