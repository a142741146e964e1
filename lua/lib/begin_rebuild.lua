-- Begins a rebuild: polls adopt every meeting without a record, not only those with the pool's mark. For a
-- registry that is empty or new to sl (Scalelite's), until ten minutes after the last server was added.
local function begin_rebuild()
  call('SET', P .. 'sl:rebuild', '1', 'PX', 600000)
end
