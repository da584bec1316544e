-- Appends entries to a stream, all of them or none: what could refuse one refuses the first. KEYS: the stream. ARGV: about
-- how many entries it keeps; for each entry how many words it has, and these; the tag of the question.
local stream, keeps, at = KEYS[1], ARGV[1], 2
while at < #ARGV do
  local words = tonumber(ARGV[at])
  redis.call('XADD', stream, 'MAXLEN', '~', keeps, '*', unpack(ARGV, at + 1, at + words))
  at = at + 1 + words
end
return { ARGV[#ARGV] }
