-- The database indexes of the recordings tables, one for each kind of query. `sl migrate` builds those
-- that are missing or whose build was interrupted, one by one and without blocking readers or writers.
-- Each statement can also be run by hand as it is.

-- Scalelite has some of the unique indexes under other names: an equal index under any name is accepted.
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS sl_recordings_record_id ON recordings (record_id);
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS sl_metadata_recording_key ON metadata (recording_id, key);
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS sl_formats_recording_format ON playback_formats (recording_id, format);

-- Record ids by prefix.
CREATE INDEX CONCURRENTLY IF NOT EXISTS sl_recordings_prefix ON recordings (record_id text_pattern_ops);

-- The newest recordings of a meeting, and of a state. Postgres would also use an index of the newest of all for
-- queries by state, and read it to its end if no recording is in that state.
CREATE INDEX CONCURRENTLY IF NOT EXISTS sl_recordings_meeting ON recordings
    (meeting_id, (coalesce(starttime, '-infinity'::timestamp)) DESC, id DESC);
CREATE INDEX CONCURRENTLY IF NOT EXISTS sl_recordings_state ON recordings
    (state, (coalesce(starttime, '-infinity'::timestamp)) DESC, id DESC);

-- Recordings by metadata value or prefix of it.
CREATE INDEX CONCURRENTLY IF NOT EXISTS sl_metadata_value ON metadata (key, left(value, 256) text_pattern_ops, recording_id);

-- The thumbnails of a format, in order.
CREATE INDEX CONCURRENTLY IF NOT EXISTS sl_thumbnails_format ON thumbnails (playback_format_id, sequence);

-- Callback URLs by the client's meetingID.
CREATE INDEX CONCURRENTLY IF NOT EXISTS sl_callback_data_meeting ON callback_data (meeting_id);
