-- Consumes an approval that is in use, or was used elsewhere.
local record = load()
if not record then return {'unknown'} end
if record.status == 'validated' then
  change(record, {status = 'consumed', in_use = '', used_by = call})
end
return reply(record.used_by == call and 'changed' or 'unchanged', record)
