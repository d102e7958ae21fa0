-- Ends what is neither final nor in use. ARGV: why.
local record = load()
if not record then return {'unknown'} end
local was_open = record.status == 'pending' or (record.status == 'validated' and record.in_use == '')
if was_open then
  change(record, {status = 'expired', ending = ARGV[6], ended_at = digits(now), ended_by = call})
end
return reply(record.ended_by == call and 'ended' or 'refused', record)
