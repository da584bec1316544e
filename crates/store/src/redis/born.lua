-- The mark of this life of the store: one that was emptied gets another. KEYS: where it is. ARGV: a mark in case there is
-- none, for how many seconds it is kept, and the tag of the question.
local mark = redis.call('GET', KEYS[1]) or ARGV[1]
redis.call('SET', KEYS[1], mark, 'EX', ARGV[2])
return { ARGV[#ARGV], mark }
