-- The meeting with this internal id (hex SHA-1 of the meeting id, a dash, the create time), else nil. Its server
-- compares the create time.
local function resolve_internal(internal_id)
  if #internal_id < 42 or string.sub(internal_id, 41, 41) ~= '-' then return nil end
  return call('HGET', P .. 'sl:internal_ids', string.lower(string.sub(internal_id, 1, 40))) or nil
end
