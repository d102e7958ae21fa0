-- Common to every script: the time, and how it is written. ARGV[1] is the time in milliseconds, or nothing for this
-- server's own.
local function clock(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local now = clock(ARGV[1])

-- Lua writes large numbers with an exponent unless it is told not to.
local function digits(number)
  return string.format('%.0f', number)
end

