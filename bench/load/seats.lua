-- Arguments: TOKENS_FILE. Each request asks a seat for the next of its users.

local requests, at = {}, 0

function init(args)
   for token in io.lines(args[1]) do
      requests[#requests + 1] = wrk.format("GET", wrk.path, {["Authorization"] = "Bearer " .. token})
   end
end

function request()
   at = at % #requests + 1
   return requests[at]
end

dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "figures.lua")
