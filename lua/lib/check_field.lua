-- Why a field of a server must not have this value, or nil. src/store/server_fields.rs says the same earlier,
-- and in more detail.
local function check_field(field, value)
  if value == '' and field ~= 'tag' then return 'the ' .. field .. ' must not be empty' end
  if #value > 1024 then return 'the ' .. field .. ' is too long' end
  if value:find('[%s%c]') then
    return 'the ' .. field .. ' must not contain spaces or control characters'
  end
  if field == 'id' and value:find('[^%w%._:%[%]-]') then
    return 'the id must consist of letters, digits, and any of . _ - :'
  end
  if field == 'url' and not value:find('^[Hh][Tt][Tt][Pp][Ss]?://[^/@?#]+[^@?#]*$') then
    return 'the url must begin with http:// or https://, without credentials, query or fragment'
  end
  if field == 'load_multiplier' then
    local number = tonumber(value)
    if not number or not (number > 0) or number == math.huge then
      return 'the load multiplier must be a number above 0'
    end
  end
  if field == 'tag' and (value:find('[;!]') or value == 'none') then
    return 'the tag must not contain ; or !, and must not be none'
  end
  return nil
end
