-- The tables of a Scalelite database (up to its schema 20230627141045), as they stand there. One that is
-- there is left alone; an older one gets the columns that it lacks. Nothing is rewritten: a column
-- without a default, or with a constant one, is an entry in the catalogue.

CREATE TABLE IF NOT EXISTS recordings (
    id bigserial PRIMARY KEY,
    record_id character varying,
    meeting_id character varying,
    name character varying,
    published boolean,
    participants integer,
    state character varying,
    starttime timestamp without time zone,
    endtime timestamp without time zone,
    deleted_at timestamp without time zone,
    protected boolean,
    publish_updated boolean DEFAULT false
);
ALTER TABLE recordings
    ADD COLUMN IF NOT EXISTS participants integer,
    ADD COLUMN IF NOT EXISTS state character varying,
    ADD COLUMN IF NOT EXISTS deleted_at timestamp without time zone,
    ADD COLUMN IF NOT EXISTS protected boolean,
    ADD COLUMN IF NOT EXISTS publish_updated boolean DEFAULT false;

CREATE TABLE IF NOT EXISTS metadata (
    id bigserial PRIMARY KEY,
    recording_id bigint REFERENCES recordings (id),
    key character varying,
    value character varying
);

CREATE TABLE IF NOT EXISTS playback_formats (
    id bigserial PRIMARY KEY,
    recording_id bigint REFERENCES recordings (id),
    format character varying,
    url character varying,
    length integer,
    processing_time integer
);
ALTER TABLE playback_formats
    ADD COLUMN IF NOT EXISTS processing_time integer;

CREATE TABLE IF NOT EXISTS thumbnails (
    id bigserial PRIMARY KEY,
    playback_format_id bigint REFERENCES playback_formats (id),
    width integer,
    height integer,
    alt character varying,
    url character varying,
    sequence integer
);

CREATE TABLE IF NOT EXISTS callback_data (
    id bigserial PRIMARY KEY,
    meeting_id character varying,
    recording_id bigint,
    callback_attributes text,
    created_at timestamp without time zone NOT NULL,
    updated_at timestamp without time zone NOT NULL
);
