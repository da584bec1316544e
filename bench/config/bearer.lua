-- GETs with a token.
function init(args)
  wrk.headers["authorization"] = "Bearer " .. args[1]
end
