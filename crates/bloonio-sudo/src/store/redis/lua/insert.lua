-- Writes a pending record, unless there is one of that name.
local asked = ARGV[6]
local found = load()
if found then
  return reply(found.asked == asked and 'mine' or 'taken', found)
end
if redis.call('EXISTS', key) == 1 then return {'taken'} end
local ttl, kept_for = tonumber(ARGV[11]), tonumber(ARGV[13])
local record = {}
change(record, {
  version = VERSION, tenant = tenant, asked = asked, golden_number = ARGV[7], initiator = ARGV[8], fingerprint = ARGV[9],
  redemption = ARGV[10], window = ARGV[12], created_at = digits(now), expires_at = digits(now + ttl),
  forget_at = digits(now + ttl + kept_for), status = 'pending', in_use = '', misses = '', decision = '', decided_at = '',
  decided_by = '', used_by = '', released_by = '', ending = '', ended_at = '', ended_by = '',
})
redis.call('PEXPIRE', key, digits(ttl + kept_for))
return reply('mine', record)
