-- The server whose upload brought the recording first: only that server may replace it by an upload. Null where it came
-- by the spool, or before this was recorded.
ALTER TABLE recordings ADD COLUMN IF NOT EXISTS first_server text;
