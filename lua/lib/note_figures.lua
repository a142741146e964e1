-- @include figures_of

-- Remembers the figures that sl has written: apply_poll compares them, to notice another poller.
local function note_figures(server_id)
  call('HSET', P .. 'sl:server:' .. server_id, 'figures', figures_of(server_id))
end
