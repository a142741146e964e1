-- Callbacks to clients: kept until their receiver has them. Scalelite knows nothing of these tables; the URL
-- that a client gave with create stands in its callback_data too.

-- What a client gave with create, by the meeting that came of it: a meetingID is used again and again.
CREATE TABLE IF NOT EXISTS callback_urls (
    -- The record id of the meeting's recording, should there be one.
    internal_meeting_id text PRIMARY KEY,
    url text NOT NULL,
    noted_at timestamp with time zone NOT NULL
);
CREATE INDEX IF NOT EXISTS callback_urls_noted ON callback_urls (noted_at);

CREATE TABLE IF NOT EXISTS callbacks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- recording-ready
    kind text NOT NULL,
    record_id text NOT NULL,
    -- The client's meetingID.
    meeting_id text NOT NULL,
    url text NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    -- It is tried for a day from then on.
    began_at timestamp with time zone NOT NULL DEFAULT now(),
    -- When it may be taken in hand. Whoever does so puts it off, for as long as one try lasts at most: should
    -- he die meanwhile, somebody else takes it then.
    due_at timestamp with time zone NOT NULL DEFAULT now(),
    -- Whoever has it in hand drew this number; what he writes of it counts only while it stands here.
    lease bigint,
    tries integer NOT NULL DEFAULT 0,
    tried_at timestamp with time zone,
    finished_at timestamp with time zone,
    -- What came of the last try, in words.
    outcome text,
    UNIQUE (kind, record_id)
);
CREATE INDEX IF NOT EXISTS callbacks_due ON callbacks (due_at) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS callbacks_finished ON callbacks (finished_at) WHERE state <> 'pending';
