-- GETs of so many callers in turn, told apart by their address.
local requests, n = {}, 0

function init(args)
  for caller = 1, tonumber(args[1]) do
    requests[caller] = wrk.format("GET", "/", { ["x-forwarded-for"] = "10.0.0." .. caller })
  end
end

function request()
  n = n % #requests + 1
  return requests[n]
end
