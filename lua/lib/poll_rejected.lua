-- @include fenced

-- Why the result of a poll comes too late to be written, or nil: `fenced`, its poller has lost the
-- lease; `stale`, this poll or one that was sent later has been written. `started` 0 means now.
local function poll_rejected(id, fence, started, now)
  if fenced(fence) then return 'fenced' end
  if started == 0 then return nil end
  local asked = tonumber(call('HGET', P .. 'sl:server:' .. id, 'asked') or '') or 0
  -- It is in the future only after a clock went back; then it does not count.
  if started <= asked and asked <= now then return 'stale' end
  return nil
end
