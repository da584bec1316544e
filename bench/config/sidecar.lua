-- What a team writes in nginx's Lua when it wants what vestibule-on does: a limit for each address, a trace id that is passed
-- on or made, and counters. The ETag is left out.
local limits, counters = ngx.shared.limits, ngx.shared.counters
local RATE_HZ, BURST = 1000000, 1000000
-- Upper bounds of the histogram, in seconds.
local BOUNDS = { 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10 }
local TRACEPARENT = "^00%-(%x+)%-(%x+)%-(%x%x)$"

local sidecar = {}

-- So many random hexadecimal digits, a multiple of six.
local function digits(count)
  local words = {}
  for i = 1, count / 6 do
    words[i] = string.format("%06x", math.random(0, 0xffffff))
  end
  return table.concat(words)
end

-- A trace id of a caller, or a new one; this request is a new span of it.
local function trace()
  local came = ngx.var.http_traceparent
  local id, parent, flags
  if came then
    id, parent, flags = came:match(TRACEPARENT)
  end
  if not id or #id ~= 32 or #parent ~= 16 then
    id, flags = digits(36):sub(1, 32), "01"
  end
  ngx.req.set_header("traceparent", "00-" .. id .. "-" .. digits(18):sub(1, 16) .. "-" .. flags)
  ngx.header["x-trace-id"] = id
end

-- GCRA: the time at which this caller would have been served, had it come at its rate.
local function limited()
  local address, now = ngx.var.binary_remote_addr, ngx.now()
  local due = math.max(limits:get(address) or 0, now) + 1 / RATE_HZ
  if due - now > BURST / RATE_HZ then
    return true
  end
  limits:set(address, due, 60)
  return false
end

-- Each worker draws ids of its own.
function sidecar.start()
  math.randomseed(ngx.now() * 1000 + ngx.worker.pid())
end

function sidecar.access()
  trace()
  if limited() then
    return ngx.exit(429)
  end
end

function sidecar.log()
  local labels = ngx.var.request_method .. " " .. ngx.status
  counters:incr("requests " .. labels, 1, 0)
  local seconds = ngx.now() - ngx.req.start_time()
  counters:incr("seconds " .. labels, seconds, 0)
  for _, bound in ipairs(BOUNDS) do
    if seconds <= bound then
      counters:incr("bucket " .. bound, 1, 0)
      return
    end
  end
  counters:incr("bucket inf", 1, 0)
end

function sidecar.metrics()
  for _, name in ipairs(counters:get_keys(0)) do
    ngx.say(name, " ", counters:get(name))
  end
end

return sidecar
