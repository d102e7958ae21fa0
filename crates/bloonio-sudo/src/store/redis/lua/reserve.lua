-- A place for a new prompt, or what the same request has already, or why there is none now. ARGV: whether it may be shared;
-- what its record is made of; the golden numbers to choose from; how long it may be decided; the most open prompts of an
-- initiator, and of a user.
local shared, asked, candidates, ttl = ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8])
local per_initiator, per_user = tonumber(ARGV[9]), tonumber(ARGV[10])

-- What is open in a hash, after time has done its work on it: how much, and when the first of it ends.
local function open_in(key, each)
  local flat = redis.call('HGETALL', key)
  local count, first = 0, nil
  for i = 1, #flat, 2 do
    local kind, name = string.match(flat[i], '^(%a+):(.*)$')
    local at = kind and kind ~= 'asked' and tonumber(string.match(flat[i + 1], '^%d+'))
    if at and at <= now then
      redis.call('HDEL', key, flat[i])
      if kind == 'open' and each then each(name, flat[i + 1], at) end
    elseif kind == 'open' then
      count, first = count + 1, math.min(first or at, at)
      if each then each(name, flat[i + 1], nil) end
    end
  end
  return count, first
end

local numbers = {}
local of_user, first_of_user = open_in(user, function(name, value, ended_at)
  local number, print = string.match(value, '^%d+ (%S+) (%S+)$')
  if ended_at then
    redis.call('HDEL', user, 'asked:' .. name)
    quieten(print, ended_at + rules.quiet_after)
  else
    numbers[number] = true
  end
end)
local of_initiator, first_of_initiator = open_in(initiator, nil)

local function reserved(number)
  local wrong = recent(redis.call('HGET', user, 'wrong'), rules.wrong_number_memory)
  local typed_only = #wrong >= rules.wrong_numbers_to_type
  return {'new', number == '-' and '' or number, typed_only and '1' or ''}
end

-- This very call, sent again.
local own = redis.call('HGET', user, 'open:' .. id)
if own then return reserved(string.match(own, '^%d+ (%S+)')) end

local found = shared ~= '' and redis.call('HGET', user, 'shared:' .. fingerprint)
if found then
  local since, name = string.match(found, '^%d+ (%d+) (%S+)$')
  local fresh = now - since < rules.written_within
  local number = string.match(redis.call('HGET', user, 'open:' .. name) or '', '^%d+ (%d+)') or ''
  return {'existing', name, fresh and redis.call('HGET', user, 'asked:' .. name) or '', number}
end

local quiet = tonumber(redis.call('HGET', user, 'quiet:' .. fingerprint) or '0')
if quiet > now then return {'quiet', digits(quiet - now)} end
local silenced = tonumber(redis.call('HGET', initiator, 'silenced_until') or '0')
if silenced > now then return {'silenced', digits(silenced - now)} end
if of_initiator >= per_initiator then return {'initiator', digits((first_of_initiator or now) - now)} end
if of_user >= per_user then return {'user', digits((first_of_user or now) - now)} end

local chosen = '-'
for number in string.gmatch(candidates, '%d+') do
  if not numbers[number] then chosen = number break end
end
local expires_at = digits(now + ttl)
put(user, 'open:' .. id, expires_at .. ' ' .. chosen .. ' ' .. fingerprint)
put(initiator, 'open:' .. id, expires_at)
if shared ~= '' then
  put(user, 'asked:' .. id, asked)
  put(user, 'shared:' .. fingerprint, expires_at .. ' ' .. digits(now) .. ' ' .. id)
end
return reserved(chosen)
