-- Counts a guess: ARGV[2] is 1 if it was right, ARGV[3] wrong ones are allowed in ARGV[4] milliseconds.
-- Answers the milliseconds until guesses are looked at again, or 0: this one was.
local allowed, window = tonumber(ARGV[3]), tonumber(ARGV[4])
local oldest = tonumber(redis.call('LINDEX', KEYS[1], 0))
while oldest and now >= oldest + window do
    redis.call('LPOP', KEYS[1])
    oldest = tonumber(redis.call('LINDEX', KEYS[1], 0))
end
if oldest and redis.call('LLEN', KEYS[1]) >= allowed then
    return oldest + window - now
end
if ARGV[2] == '1' then
    redis.call('DEL', KEYS[1])
else
    redis.call('RPUSH', KEYS[1], now)
    redis.call('PEXPIRE', KEYS[1], window + 30000)
end
return 0
