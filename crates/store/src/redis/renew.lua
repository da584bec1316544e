local hold, lease_ms, ttl_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local OK, LOST, STALE = 1, 2, 3

local record, unreadable = read()
if unreadable then
  return unreadable
end
if not record then
  return LOST
end
if not is_open_claim_of(record, hold:sub(33, 48)) then
  return STALE
end
write_claim(hold, lease_ms, ttl_ms)
return OK
