-- Takes a decision on what is pending. ARGV: the status that it leads to, and the decision itself.
local record = load()
if not record then return {'unknown'} end
if record.status == 'pending' then
  change(record, {status = ARGV[6], decision = ARGV[7], decided_at = digits(now), decided_by = call})
end
return reply(record.decided_by == call and 'recorded' or 'refused', record)
