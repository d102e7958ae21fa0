-- Takes a token from the bucket KEYS[1] of ARGV[2] tokens a minute. Answers the milliseconds to the next one, or 0.
-- The same arithmetic as limit/bucket.rs: whole numbers, at most 10,000 * 60,000.
local TOKEN = 60000
local rate = tonumber(ARGV[2])
local held = redis.call('HMGET', KEYS[1], 'per_min', 'units', 'at')
local per_min, units, at = tonumber(held[1]), tonumber(held[2]), tonumber(held[3])
if not (per_min and units and at) then
    per_min, units, at = rate, rate * TOKEN, now
end
-- A minute fills any bucket. A clock that was set back gives nothing for the jump.
local elapsed = math.min(math.max(now - at, 0), TOKEN)
units = math.min(units + elapsed * per_min, per_min * TOKEN)
-- What was spent stays spent under a new rate.
units = math.max(units + (rate - per_min) * TOKEN, 0)
local wait = 0
if units < TOKEN then
    wait = math.ceil((TOKEN - units) / rate)
else
    units = units - TOKEN
end
redis.call('HSET', KEYS[1], 'per_min', rate, 'units', units, 'at', now)
-- Full by then, and so as good as absent.
redis.call('PEXPIRE', KEYS[1], 90000)
return wait
