-- Stands behind every operation: what it answers, with the tag of the question.
return { ARGV[#ARGV], operation() }
