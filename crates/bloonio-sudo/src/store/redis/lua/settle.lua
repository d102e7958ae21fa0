-- Takes note of what became of an instruction: once, however often it is told. ARGV: what became of it, one of `approved`,
-- `used`, `denied`, `wrong_number`, `unanswered` and `undelivered`. Says for how many milliseconds that silences the
-- initiator, or nothing.
local outcome = ARGV[5]

local function forget_shared()
  local found = redis.call('HGET', user, 'shared:' .. fingerprint)
  if found and string.match(found, '%S+$') == id then redis.call('HDEL', user, 'shared:' .. fingerprint) end
end

-- How long this denial silences the initiator, if it does.
local function denied()
  local denials = recent(redis.call('HGET', initiator, 'denials'), rules.denial_memory)
  denials[#denials + 1] = digits(now)
  if #denials < rules.denials_to_silence then
    put(initiator, 'denials', table.concat(denials, ' '))
    return ''
  end
  local until_at = tonumber(redis.call('HGET', initiator, 'silenced_until') or '0')
  local silences = tonumber(redis.call('HGET', initiator, 'silences') or '0')
  if until_at + rules.silence_memory <= now then silences = 0 end
  local silence = rules.longest_silence
  -- Further doublings change nothing, and would overflow in the end.
  if silences < 30 then silence = math.min(silence, rules.first_silence * 2 ^ silences) end
  put(initiator, 'denials', '')
  put(initiator, 'silences', digits(silences + 1))
  put(initiator, 'silenced_until', digits(now + silence))
  return digits(silence)
end

local was_open = redis.call('HDEL', user, 'open:' .. id)
redis.call('HDEL', user, 'asked:' .. id)
redis.call('HDEL', initiator, 'open:' .. id)
if outcome ~= 'approved' then forget_shared() end
if was_open == 0 then
  if redis.call('HGET', initiator, 'settled') ~= id then return {''} end
  return {redis.call('HGET', initiator, 'silence') or ''}
end

local silence = ''
if outcome == 'denied' or outcome == 'wrong_number' then silence = denied() end
if outcome == 'wrong_number' then
  local wrong = recent(redis.call('HGET', user, 'wrong'), rules.wrong_number_memory)
  wrong[#wrong + 1] = digits(now)
  while #wrong > rules.wrong_numbers_to_type do table.remove(wrong, 1) end
  put(user, 'wrong', table.concat(wrong, ' '))
end
if outcome == 'denied' or outcome == 'wrong_number' or outcome == 'unanswered' then
  quieten(fingerprint, now + rules.quiet_after)
end
put(initiator, 'settled', id)
put(initiator, 'silence', silence)
return {silence}
