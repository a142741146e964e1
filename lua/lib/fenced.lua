-- Whether the poller with this fence has lost the lease. A poll without a fence ('') has none to lose:
-- an operator started it, or a failed request did.
local function fenced(fence)
  return fence ~= '' and call('GET', P .. 'sl:poll_fence') ~= fence
end
