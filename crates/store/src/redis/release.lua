local owner = ARGV[1]
local OK, STALE = 1, 3

local record, unreadable = read()
if unreadable then
  return unreadable
end
if not record then
  return OK
end
if not is_open_claim_of(record, owner) then
  return STALE
end
redis.call('DEL', key)
return OK
