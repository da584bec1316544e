-- Every request comes from another client address: 10.0.0.0/8, counted up from the argument.
local n = 0

function init(args)
  n = tonumber(args[1] or "0")
end

function request()
  n = n + 1
  local address = string.format("10.%d.%d.%d", math.floor(n / 65536) % 256, math.floor(n / 256) % 256, n % 256)
  return wrk.format("GET", "/", { ["x-forwarded-for"] = address })
end
