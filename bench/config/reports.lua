-- POSTs of reports. Arguments: how many in one request, of how many groups (0: each of a group of its own), how many
-- addresses they come from, where numbers begin, and the pause behind each answer in milliseconds.
local size, groups, senders, n, pause
local element = '{"type":"csp-violation","age":12,"url":"https://app.example.com/%s","user_agent":"Mozilla/5.0 (X11; ' ..
  'Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36","body":{"blockedURL":' ..
  '"https://cdn.example.net/images/banner.png?size=large","columnNumber":14,"disposition":"report","documentURL":' ..
  '"https://app.example.com/%s","effectiveDirective":"img-src","lineNumber":120,"originalPolicy":"default-src ' ..
  "'self'; img-src 'self' data:; object-src 'none'; report-uri /_vestibule/reports; report-to vestibule-csp" ..
  '","referrer":"https://app.example.com/","sample":"","sourceFile":"https://app.example.com/static/app.js",' ..
  '"statusCode":200}}'

function init(args)
  size, groups, senders, n = tonumber(args[1]), tonumber(args[2]), tonumber(args[3]), tonumber(args[4] or "0")
  pause = tonumber(args[5] or "0")
end

function delay()
  return pause
end

-- A number in letters: digits would be taken for an identifier.
local function word(number)
  return (("%07d"):format(number):gsub("%d", function(digit) return string.char(97 + digit) end))
end

function request()
  local elements = {}
  for i = 1, size do
    n = n + 1
    local page = word(groups > 0 and n % groups or n)
    elements[i] = element:format(page, page)
  end
  local sender = n % senders
  local fields = {
    ["content-type"] = "application/reports+json",
    ["x-forwarded-for"] = ("198.%d.%d.%d"):format(sender / 65536, sender / 256 % 256, sender % 256),
  }
  return wrk.format("POST", "/_vestibule/reports", fields, "[" .. table.concat(elements, ",") .. "]")
end
