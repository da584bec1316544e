local hold, lease_ms, ttl_ms, take_over = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'
local most = tonumber(ARGV[5])
local ACQUIRED, MISMATCH = 1, 2

local record, unreadable = read()
if unreadable then
  return unreadable
end
if not record then
  write_claim(hold, lease_ms, ttl_ms)
  return ACQUIRED
end
if record.fingerprint ~= hold:sub(1, 32) then
  return MISMATCH
end
if is_open_claim_of(record, hold:sub(33, 48)) then
  write_claim(hold, lease_ms, ttl_ms)
  return ACQUIRED
end
if record.state == DONE then
  -- An answer that is too long would cost everybody the connection.
  if redis.call('STRLEN', key) - HEADER > most then
    return redis.error_reply('UNREADABLE its reply is larger than max_response_body allows')
  end
  return redis.call('GET', key)
end
if record.state == TOMBSTONE or (record.state == IN_FLIGHT and now_ms() < record.lease_end) then
  return record.head
end
if take_over then
  write_claim(hold, lease_ms, ttl_ms)
  return ACQUIRED
end
if record.state == UNCERTAIN then
  return record.head
end
-- It keeps its owner, who may still come back with the reply.
local uncertain = struct.pack('BBB', VERSION, UNCERTAIN, LEASE_RAN_OUT) .. record.head:sub(4)
redis.call('SET', key, uncertain, 'PX', ttl_ms)
return uncertain
