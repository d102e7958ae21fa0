-- Common to every script on a record. KEYS[1] is the record, a hash. ARGV: the time in milliseconds, or nothing for this
-- server's own; the tenant; a name of this very call, by which it is known if it is sent again; the channel that tells
-- of changes; the instruction; and what each script needs itself, from the sixth on.
local key, tenant, call, channel, id = KEYS[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local VERSION = '1'

-- Changes some fields, and tells whoever waits.
local function change(record, fields)
  local flat = {}
  for name, value in pairs(fields) do
    record[name] = value
    flat[#flat + 1] = name
    flat[#flat + 1] = value
  end
  redis.call('HSET', key, unpack(flat))
  redis.call('PUBLISH', channel, id)
end

-- Lets time do its work: past its life, what is not final and not in use has expired.
local function settle(record)
  local ends, ending = tonumber(record.expires_at), 'timed_out'
  if record.status == 'validated' and record.in_use == '' then
    ends, ending = math.min(ends, record.decided_at + record.window), 'unused'
  elseif record.status ~= 'pending' then
    return
  end
  if now >= ends then
    change(record, {status = 'expired', ending = ending, ended_at = digits(ends)})
  end
end

-- The record as it stands now, or nil if this tenant has none of that name, or none any more.
local function load()
  local flat = redis.call('HGETALL', key)
  if #flat == 0 then return nil end
  local record = {}
  for i = 1, #flat, 2 do record[flat[i]] = flat[i + 1] end
  if record.version ~= VERSION then error('the record is of another version') end
  if record.tenant ~= tenant or now >= tonumber(record.forget_at) then return nil end
  settle(record)
  return record
end

-- The order is that of `Fields` in record.rs.
local function reply(outcome, record)
  local _, misses = string.gsub(record.misses, '%S+', '')
  return {
    outcome, record.asked, record.golden_number, record.created_at, record.expires_at, record.status,
    record.in_use ~= '' and '1' or '', digits(misses), record.decision, record.decided_at, record.ending, record.ended_at,
  }
end

-- Whether a list of words has this call in it.
local function has_this_call(words)
  return string.find(' ' .. words .. ' ', ' ' .. call .. ' ', 1, true) ~= nil
end
