-- A time as digits: Lua itself would write 1.7e+12.
local function ms(time)
  return string.format('%.0f', time)
end
