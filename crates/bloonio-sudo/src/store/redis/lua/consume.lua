-- Uses an approval. ARGV: the initiator, the fingerprint, the way of redemption, and the usage.
local record = load()
if not record or record.initiator ~= ARGV[6] or record.redemption ~= ARGV[8] then return {'expired'} end
-- Sent again: written again too, so that a WAIT that follows on a fresh connection has something to wait for.
if record.used_by == call or record.in_use == call then
  change(record, {used_by = record.used_by})
  return reply('used', record)
end
if record.status == 'expired' or record.status == 'consumed' or record.in_use ~= '' then return {'expired'} end
if record.status == 'denied' then return {'denied'} end
if record.fingerprint ~= ARGV[7] then return {'mismatch'} end
if record.status == 'pending' then return reply('pending', record) end
if ARGV[9] == 'once' then
  change(record, {status = 'consumed', used_by = call})
elseif ARGV[9] == 'until_answered' then
  change(record, {in_use = call})
end
return reply('used', record)
