-- Stands before every operation: how a record lies in its value.
-- version 1, state 1, reason 1, status 2, fingerprint 32, owner 16, trace id 16, lease end 8 (ms since 1970), payload.
local key = KEYS[1]
local VERSION, HEADER = 1, 77
local IN_FLIGHT, DONE, TOMBSTONE, UNCERTAIN = 1, 2, 3, 4
local REASONS = { [IN_FLIGHT] = { 0, 0 }, [DONE] = { 0, 0 }, [TOMBSTONE] = { 1, 5 }, [UNCERTAIN] = { 1, 3 } }
local LEASE_RAN_OUT = 1

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The record, nil when there is none; or nil and the error to answer when there is something else.
local function read()
  local head = redis.pcall('GETRANGE', key, 0, HEADER - 1)
  if type(head) == 'table' then
    return nil, head
  end
  if head == '' and redis.call('EXISTS', key) == 0 then
    return nil
  end
  local version, state, reason = head:byte(1, 3)
  local reasons = version == VERSION and #head == HEADER and REASONS[state]
  if not reasons or reason < reasons[1] or reason > reasons[2] then
    return nil, redis.error_reply('UNREADABLE its header is not one of version ' .. VERSION)
  end
  if state ~= DONE and redis.call('STRLEN', key) ~= HEADER then
    return nil, redis.error_reply('UNREADABLE it has a payload that its state does not have')
  end
  return {
    head = head,
    state = state,
    fingerprint = head:sub(6, 37),
    owner = head:sub(38, 53),
    lease_end = struct.unpack('>I8', head, 70),
  }
end

local function is_open_claim_of(record, owner)
  return record.owner == owner and (record.state == IN_FLIGHT or record.state == UNCERTAIN)
end

-- `hold` is fingerprint, owner and trace id.
local function write_claim(hold, lease_ms, ttl_ms)
  local claim = struct.pack('>BBBI2c64I8', VERSION, IN_FLIGHT, 0, 0, hold, now_ms() + lease_ms)
  redis.call('SET', key, claim, 'PX', lease_ms + ttl_ms)
end
