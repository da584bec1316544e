-- Each argument but the last is an owner whose claim is not wanted any more.
local OK, STALE = 1, 3

local record, unreadable = read()
if unreadable then
  return unreadable
end
if not record then
  return OK
end
for at = 1, #ARGV - 1 do
  if is_open_claim_of(record, ARGV[at]) then
    redis.call('DEL', key)
    return OK
  end
end
return STALE
