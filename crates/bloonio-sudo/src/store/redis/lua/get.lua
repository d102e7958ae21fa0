-- The record as it stands now.
local record = load()
if not record then return {'unknown'} end
return reply('found', record)
