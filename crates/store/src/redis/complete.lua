-- The value is made by the caller, so that a payload is copied once.
local owner, value, ttl_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
local OK, STALE = 1, 3

local record, unreadable = read()
if unreadable then
  return unreadable
end
if record and record.owner ~= owner then
  return STALE
end
if not record or is_open_claim_of(record, owner) then
  redis.call('SET', key, value, 'PX', ttl_ms)
end
return OK
