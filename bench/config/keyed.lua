-- POSTs of 1 KiB: without a key, each with a key of its own, or with one of a few keys that are known.
-- Arguments: plain | first | again, and where keys begin.
local kind, n
local body = string.rep("x", 1024)
-- Fewer than connections would have two requests with one key at once.
local KNOWN = 4096

function init(args)
  kind, n = args[1], tonumber(args[2] or "0")
end

function request()
  n = n + 1
  local fields = { ["content-type"] = "text/plain" }
  if kind == "first" then
    fields["idempotency-key"] = "first-" .. n
  elseif kind == "again" then
    fields["idempotency-key"] = "again-" .. n % KNOWN
  end
  return wrk.format("POST", "/", fields, body)
end
