-- Whether a poll's answer comes too late to be written: its poller has lost the lease meanwhile
-- (`fenced`), or the server was asked again later and that answer stands (`stale`). A poll without a
-- fence is an operator's, or one that a failed request has caused.
local function overtaken(id, fence, started)
  if fence ~= '' and call('GET', P .. 'sl:poll_fence') ~= fence then return 'fenced' end
  local asked = tonumber(call('HGET', P .. 'sl:server:' .. id, 'asked') or '') or 0
  if started < asked then return 'stale' end
  return nil
end
