-- Writes something that is gone soon: a store that only reads has not come back. ARGV: the tag of the question.
redis.call('SET', KEYS[1], '1', 'PX', '1000')
return { ARGV[#ARGV] }
