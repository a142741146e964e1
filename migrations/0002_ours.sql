-- What Scalelite does not keep. It never names these columns, and none must be set: it goes on working on
-- this database.

ALTER TABLE recordings
    -- Bytes of the raw recording.
    ADD COLUMN IF NOT EXISTS raw_size bigint,
    ADD COLUMN IF NOT EXISTS is_breakout boolean,
    -- Of a breakout room: its parent's internal meeting id, and its place among the rooms.
    ADD COLUMN IF NOT EXISTS breakout_parent text,
    ADD COLUMN IF NOT EXISTS breakout_sequence integer,
    -- Of a meeting with such rooms: their record ids.
    ADD COLUMN IF NOT EXISTS breakout_rooms text[],
    -- Keys of metadata that a client has taken away: an import does not bring them back.
    ADD COLUMN IF NOT EXISTS removed_metadata text[];

ALTER TABLE playback_formats
    -- Bytes of the format's files.
    ADD COLUMN IF NOT EXISTS size bigint;

ALTER TABLE metadata
    -- True where it came with an import and no client has changed it since: the next import may.
    ADD COLUMN IF NOT EXISTS imported boolean;

-- How many recordings are in each state, as changes that add up: nobody waits for anybody else to
-- count, and totals of millions are there at once.
CREATE TABLE IF NOT EXISTS recording_counts (
    state character varying,
    change bigint NOT NULL
);
