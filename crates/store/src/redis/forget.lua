local spare_live = ARGV[1] == '1'
local DELETED, ABSENT, ALIVE = 1, 2, 3

local record, unreadable = read()
-- What cannot be read may be a live claim of a version to come.
if unreadable and spare_live then
  return unreadable
end
if not record and not unreadable then
  return ABSENT
end
if record and spare_live and record.state == IN_FLIGHT and now_ms() < record.lease_end then
  return ALIVE
end
redis.call('DEL', key)
return DELETED
