-- GETs with pauses as of callers that do not know of each other: exponential, of so many milliseconds on average.
local pause

function init(args)
  pause = tonumber(args[1])
  math.randomseed(tonumber(args[2]))
end

function delay()
  return math.floor(-math.log(1 - math.random()) * pause + math.random())
end
