-- Says that a proxy lives, and counts those that said so lately. KEYS: the set of them. ARGV: its id and, behind a colon, what
-- it makes of a text with its secret; for how many milliseconds it counts, for how many seconds the set is kept, and the tag
-- of the question. Answers how many there are that share its secret, and how many do not; they are told by the 256 heard last.
local peers, id, fresh, kept = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function text(value)
  return string.format('%.0f', value)
end
redis.call('ZADD', peers, text(now), id)
redis.call('ZREMRANGEBYSCORE', peers, '-inf', '(' .. text(now - fresh))
-- A heartbeat from before the clock was set back would live for ever.
redis.call('ZREMRANGEBYSCORE', peers, '(' .. text(now), '+inf')
redis.call('EXPIRE', peers, kept)

local own, strangers = id:match(':(.*)$'), 0
for _, other in ipairs(redis.call('ZREVRANGE', peers, 0, 255)) do
  -- One of an older version does not say.
  local check = other:match(':(.*)$')
  if check and check ~= own then
    strangers = strangers + 1
  end
end
return { ARGV[#ARGV], text(redis.call('ZCARD', peers) - strangers), text(strangers) }
