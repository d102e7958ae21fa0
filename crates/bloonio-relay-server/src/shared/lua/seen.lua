-- Claims all of KEYS for the call ARGV[1] and ARGV[2] milliseconds; answers 1, or 0 if another call has one of them.
-- The same call twice claims once.
for _, key in ipairs(KEYS) do
    local by = redis.call('GET', key)
    if by and by ~= ARGV[1] then
        return 0
    end
end
for _, key in ipairs(KEYS) do
    redis.call('SET', key, ARGV[1], 'PX', ARGV[2])
end
return 1
