-- POSTs of 1 KiB of JSON, or GETs; below the root, where the route is.
local body = '{"text":"' .. string.rep("x", 1000) .. '"}'

function init(args)
  wrk.path = "/orders/1042?page=2"
  if args[1] == "POST" then
    wrk.method = "POST"
    wrk.body = body
    wrk.headers["content-type"] = "application/json"
  end
end
