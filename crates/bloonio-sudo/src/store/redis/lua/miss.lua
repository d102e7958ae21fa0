-- Counts a wrong code. ARGV: how many deny, and the decision that they come to.
local record = load()
if not record then return {'unknown'} end
if record.status == 'pending' and not has_this_call(record.misses) then
  local misses = record.misses .. ' ' .. call
  local _, count = string.gsub(misses, '%S+', '')
  if count < tonumber(ARGV[6]) then
    change(record, {misses = misses})
  else
    change(record, {
      misses = misses, status = 'denied', decision = ARGV[7], decided_at = digits(now), decided_by = call,
    })
  end
end
if record.decided_by == call then return reply('denied', record) end
return reply(has_this_call(record.misses) and 'counted' or 'refused', record)
