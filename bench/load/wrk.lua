-- Arguments: METHOD BODY_BYTES. One request, always the same.

function init(args)
   wrk.method = args[1]
   local size = tonumber(args[2])
   if size > 0 then
      wrk.body = string.rep("x", size)
      wrk.headers["Content-Type"] = "application/octet-stream"
   end
end

dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "figures.lua")
