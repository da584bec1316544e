-- Empties a bucket of debt. That it was is kept for as long as anybody could remember a debt of it. ARGV: whether it is a
-- bucket of debt, its tolerance in milliseconds, and the tag of the question.
local key, is_debt, tolerance = KEYS[1], ARGV[1] == '1', tonumber(ARGV[2])
if is_debt then
  local time = redis.call('TIME')
  local now = string.format('%.0f', time[1] * 1000000 + time[2])
  redis.call('SET', key, now .. ',0,' .. now, 'PX', string.format('%.0f', tolerance + 1000))
else
  redis.call('DEL', key)
end
return { ARGV[#ARGV] }
