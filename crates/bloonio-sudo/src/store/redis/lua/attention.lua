-- Common to the scripts on a user's attention. KEYS[1] is the user's hash, KEYS[2] the initiator's, in one slot. ARGV: the
-- time in milliseconds, or nothing for this server's own; the rules, as JSON, durations in milliseconds; the instruction;
-- its fingerprint; and what each script needs itself, from the fifth on.
--
-- The user's hash:
--   open:ID             its expiry, its golden number or -, its fingerprint: a prompt that nobody has answered
--   asked:ID            what its record is made of, should its creator not have come to write it
--   shared:FINGERPRINT  the expiry, the time of creation and the id of what the same request is to find
--   quiet:FINGERPRINT   until when the same request is not asked again
--   wrong               the times of the last wrong golden numbers
-- The initiator's hash:
--   open:ID             its expiry
--   denials, silences, silenced_until
--   settled, silence    the last instruction that was settled, and for how long that silenced him
local user, initiator, id, fingerprint = KEYS[1], KEYS[2], ARGV[3], ARGV[4]
local rules = cjson.decode(ARGV[2])

local function put(key, field, value)
  redis.call('HSET', key, field, value)
  redis.call('PEXPIRE', key, digits(rules.kept))
end

-- The request is not asked again until then, or until later if that was said before.
local function quieten(print, until_at)
  local before = tonumber(redis.call('HGET', user, 'quiet:' .. print) or '0')
  if until_at > now and until_at > before then put(user, 'quiet:' .. print, digits(until_at)) end
end

-- Those of the times in a list that are not older than `memory`.
local function recent(times, memory)
  local kept = {}
  for at in string.gmatch(times or '', '%S+') do
    if now - at < memory then kept[#kept + 1] = at end
  end
  return kept
end
