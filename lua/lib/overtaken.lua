-- Whether a poll's answer comes too late to be written: its poller has lost the lease meanwhile
-- (`fenced`), or the server was asked again later and that answer stands (`stale`), or this very one
-- was written before. `started` 0 is now. A poll without a fence is an operator's, or one that a
-- failed request has caused.
local function overtaken(id, fence, started, now)
  if fence ~= '' and call('GET', P .. 'sl:poll_fence') ~= fence then return 'fenced' end
  if started == 0 then return nil end
  local asked = tonumber(call('HGET', P .. 'sl:server:' .. id, 'asked') or '') or 0
  -- In the future it stands only where a clock went back.
  if started <= asked and asked <= now then return 'stale' end
  return nil
end
