-- The indexes that the index of recordings stands on, one for each way of asking. `sl migrate` builds
-- those that are missing, and those whose building was cut off, one by one and without locking anybody
-- out; each can be built by hand as it stands here.

-- Scalelite has some of the unique ones under other names: an equal one under any name will do.
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS sl_recordings_record_id ON recordings (record_id);
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS sl_metadata_recording_key ON metadata (recording_id, key);
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS sl_formats_recording_format ON playback_formats (recording_id, format);

-- A record id by its beginning.
CREATE INDEX CONCURRENTLY IF NOT EXISTS sl_recordings_prefix ON recordings (record_id text_pattern_ops);

-- The newest of a meeting, of a state. One for the newest of all would be taken for those of a state too, and
-- read to its end where no recording is in that state.
CREATE INDEX CONCURRENTLY IF NOT EXISTS sl_recordings_meeting ON recordings
    (meeting_id, (coalesce(starttime, '-infinity'::timestamp)) DESC, id DESC);
CREATE INDEX CONCURRENTLY IF NOT EXISTS sl_recordings_state ON recordings
    (state, (coalesce(starttime, '-infinity'::timestamp)) DESC, id DESC);

-- Who has this value, or one that begins so.
CREATE INDEX CONCURRENTLY IF NOT EXISTS sl_metadata_value ON metadata (key, left(value, 256) text_pattern_ops, recording_id);

-- What belongs to a recording.
CREATE INDEX CONCURRENTLY IF NOT EXISTS sl_thumbnails_format ON thumbnails (playback_format_id, sequence);

-- The URL to call, by the client's meetingID.
CREATE INDEX CONCURRENTLY IF NOT EXISTS sl_callback_data_meeting ON callback_data (meeting_id);
