-- Gives back those of KEYS that the call ARGV[1] has.
local given = 0
for _, key in ipairs(KEYS) do
    if redis.call('GET', key) == ARGV[1] then
        given = given + redis.call('DEL', key)
    end
end
return given
