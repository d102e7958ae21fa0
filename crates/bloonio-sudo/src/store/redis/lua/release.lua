-- Makes an approval in use good again. Of the calls that did so the latest are remembered: one that is sent again must not
-- release what somebody else uses by then.
local REMEMBERED = 8
local record = load()
if not record then return {'unknown'} end
if has_this_call(record.released_by) then return reply('changed', record) end
if record.in_use == '' then return reply('unchanged', record) end
local calls = {call}
for earlier in string.gmatch(record.released_by, '%S+') do
  if #calls < REMEMBERED then calls[#calls + 1] = earlier end
end
change(record, {in_use = '', released_by = table.concat(calls, ' ')})
settle(record)
return reply('changed', record)
