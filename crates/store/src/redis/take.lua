-- All that is asked of the buckets of one partition, in one step. KEYS are the buckets. ARGV are numbers in the order in
-- which they are read here, and the tag of the question. The answer is that tag, the time, and of each bucket what it held
-- before and after; `round.rs` plays the same rules. A bucket is `<stamp us>,<debt ns>`, and `,<reset us>` for a while
-- after a reset, and `,<ns>` behind that for how much of the debt may be beyond the tolerance; a log is a list of stamps,
-- the newest first, and in the answer the last.
local DEBT, UNASKED_DEBT = 1, 3
-- So much is owed beyond the tolerance at most: 50 days, so that all of it is a number that is exact.
local MOST_BEYOND = 4320000000000000
-- A full burst weighs 45 days at most, and so much is owed beyond it.
local MOST_DEBT = 3888000000000000 + MOST_BEYOND
-- Microseconds since 1970, until the year 2112.
local MOST_STAMP = 4503599627370496
-- Units of a log.
local MOST_LOG = 64
local at = 0
local function number()
  at = at + 1
  return tonumber(ARGV[at])
end

local function text(value)
  return string.format('%.0f', value)
end

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- A number that a proxy may have written. Another one is an error of the store and no debt: whoever put it there would
-- have a caller refused for as long as it stays.
local function stored(digits, most)
  local value = digits and #digits <= 16 and string.find(digits, '^%d+$') and tonumber(digits)
  if not value or value > most then
    error('UNREADABLE a bucket holds what no proxy writes', 0)
  end
  return value
end

-- A stamp ahead of the clock, which was set back, counts as now.
local function since(stamp)
  return math.max(0, now - stamp)
end

-- What goes back, and when it was granted.
local function read_refunds()
  local refunds = {}
  for i = 1, number() do
    refunds[i] = { amount = number(), granted = number() }
  end
  return refunds
end

local function read_debt(key, is_asked)
  local bucket = { key = key, emission = number(), tolerance = number(), most = number(), proxies = number() }
  local owed, seen, carried = number(), number(), number()
  local refunds = read_refunds()
  local value = redis.call('GET', key)
  local stamp, debt, reset, beyond = now, 0, nil, nil
  if value then
    stamp, debt, reset, beyond = string.match(value, '^(%d+),(%d+),?(%d*),?(%d*)$')
    stamp, debt = stored(stamp, MOST_STAMP), stored(debt, MOST_DEBT)
    reset = reset ~= '' and stored(reset, MOST_STAMP) or nil
    beyond = beyond ~= '' and stored(beyond, MOST_BEYOND) or nil
  end
  bucket.reset = reset
  local drained = math.max(0, debt - since(stamp) * 1000)
  local tolerance = bucket.tolerance
  beyond = math.min(beyond or 0, math.max(0, drained - tolerance))
  -- The limit of what only goes back may be an old one; what an asked one has beyond its tolerance, but for what was
  -- carried to it, is left over from a larger limit.
  local most = math.max(tolerance + beyond, is_asked and 0 or drained)
  debt = math.min(drained, most)
  if not reset or reset <= seen then
    -- What was admitted without the store is owed in full, also by a bucket that is full: were it cut off, proxies that
    -- time out one by one would admit it again and again.
    debt = math.max(debt, math.min(owed, most)) + carried
    beyond = math.min(beyond + carried, tolerance + bucket.emission * bucket.proxies, MOST_BEYOND)
    debt = math.min(debt, math.max(most, tolerance + beyond))
  end
  for _, refund in ipairs(refunds) do
    -- What was charged before a reset is not owed any more.
    if refund.granted <= now and (not reset or reset <= refund.granted) then
      debt = math.max(0, debt - math.max(0, refund.amount - since(refund.granted) * 1000))
    end
  end
  bucket.debt, bucket.before, bucket.beyond = debt, debt, beyond
  bucket.changed = bucket.debt ~= drained or stamp > now
  bucket.asked, bucket.refused, bucket.units = false, false, 0
  return bucket
end

local function read_log(key)
  local log = { key = key, quota = number(), window = number(), stamps = {}, changed = false }
  local back = {}
  for _, refund in ipairs(read_refunds()) do
    back[refund.granted] = refund.amount
  end
  local values = redis.call('LRANGE', key, 0, MOST_LOG)
  if #values > MOST_LOG then
    stored(nil)
  end
  local ahead = #values > 0 and math.max(0, stored(values[1], MOST_STAMP) - now) or 0
  for i = #values, 1, -1 do
    local raw = stored(values[i], MOST_STAMP)
    local stamp = raw - ahead
    if (back[raw] or 0) > 0 then
      back[raw] = back[raw] - 1
      log.changed = true
    elseif i <= log.quota and since(stamp) < log.window then
      log.stamps[#log.stamps + 1] = stamp
    end
  end
  log.changed = log.changed or ahead > 0
  return log
end

local buckets, before = {}, {}
for i, key in ipairs(KEYS) do
  local kind = number()
  local bucket = (kind == DEBT or kind == UNASKED_DEBT) and read_debt(key, kind == DEBT) or read_log(key)
  buckets[i] = bucket
  before[i] = bucket.debt and text(bucket.debt) or ''
  for _, stamp in ipairs(bucket.stamps or {}) do
    before[i] = before[i] .. text(stamp) .. ','
  end
end

local function refuses(bucket, cost)
  if cost == 0 then
    return false
  end
  if bucket.debt then
    return bucket.debt + bucket.emission * cost > bucket.tolerance
  end
  return #bucket.stamps + cost > bucket.quota
end

local function charge(bucket, cost)
  if cost == 0 then
    return
  end
  if bucket.debt then
    bucket.debt = bucket.debt + bucket.emission * cost
    bucket.units = bucket.units + cost
  else
    for _ = 1, cost do
      bucket.stamps[#bucket.stamps + 1] = now
    end
  end
  bucket.changed = true
end

for _ = 1, number() do
  local count, parts = number(), {}
  for i = 1, number() do
    parts[i] = { bucket = buckets[number()], cost = number() }
    parts[i].bucket.asked = parts[i].bucket.asked or count > 0
  end
  for _ = 1, count do
    local refused = false
    for _, part in ipairs(parts) do
      if refuses(part.bucket, part.cost) then
        refused = true
        part.bucket.refused = true
      end
    end
    -- What comes next in this entry asks the same and is refused as well.
    if refused then
      break
    end
    for _, part in ipairs(parts) do
      charge(part.bucket, part.cost)
    end
  end
end

local function lend(bucket)
  if bucket.most == 0 or not bucket.asked or bucket.refused then
    return
  end
  local available = math.floor((bucket.tolerance - bucket.before) / bucket.emission)
  local wanted = math.max(1, math.min(bucket.most, math.floor(available / bucket.proxies)))
  local left = math.floor((bucket.tolerance - bucket.debt) / bucket.emission)
  local units = math.max(0, math.min(wanted - bucket.units, left))
  bucket.debt = bucket.debt + units * bucket.emission
  bucket.changed = bucket.changed or units > 0
end

local function write_debt(bucket)
  local value = text(now) .. ',' .. text(bucket.debt)
  local lasts = bucket.debt / 1000000
  if bucket.reset then
    lasts = math.max(lasts, bucket.tolerance / 1000000 - since(bucket.reset) / 1000)
    value = value .. ',' .. text(bucket.reset)
  end
  local beyond = math.min(bucket.beyond, bucket.debt - bucket.tolerance)
  if beyond > 0 then
    value = value .. (bucket.reset and ',' or ',,') .. text(beyond)
  end
  redis.call('SET', bucket.key, value, 'PX', text(math.ceil(lasts) + 1000))
end

local function write_log(log)
  redis.call('DEL', log.key)
  for _, stamp in ipairs(log.stamps) do
    redis.call('LPUSH', log.key, text(stamp))
  end
  if #log.stamps > 0 then
    redis.call('PEXPIRE', log.key, text(math.ceil(log.window / 1000)))
  end
end

local answer = { ARGV[#ARGV], text(now) }
for i, bucket in ipairs(buckets) do
  if bucket.debt then
    lend(bucket)
  end
  if bucket.changed then
    (bucket.debt and write_debt or write_log)(bucket)
  end
  answer[#answer + 1] = before[i]
  answer[#answer + 1] = text(bucket.debt or #bucket.stamps)
end
return answer
