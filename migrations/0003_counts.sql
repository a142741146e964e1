-- Keeps recording_counts. A trigger, so that what Scalelite writes is counted too.

-- Writers wait while the recordings are counted for the first time; readers do not.
LOCK TABLE recordings IN SHARE ROW EXCLUSIVE MODE;

CREATE OR REPLACE FUNCTION recording_counts_add() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO recording_counts SELECT state, count(*) FROM added GROUP BY state;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO recording_counts SELECT state, -count(*) FROM removed GROUP BY state;
    ELSE
        INSERT INTO recording_counts
        SELECT state, sum(n) FROM (
            SELECT state, 1 AS n FROM added UNION ALL SELECT state, -1 FROM removed
        ) AS changed GROUP BY state HAVING sum(n) <> 0;
    END IF;
    -- Now and then, what has added up is made one row for each state. What others are just adding up is
    -- left to them.
    IF random() < 0.02 THEN
        WITH taken AS (
            DELETE FROM recording_counts WHERE ctid = ANY (ARRAY(
                SELECT ctid FROM recording_counts LIMIT 10000 FOR UPDATE SKIP LOCKED))
            RETURNING state, change
        )
        INSERT INTO recording_counts SELECT state, sum(change) FROM taken GROUP BY state HAVING sum(change) <> 0;
    END IF;
    RETURN NULL;
END $$;

-- With the rights of whoever migrated, and on these tables only: Scalelite may be another role.
DO $$ BEGIN
    EXECUTE 'ALTER FUNCTION recording_counts_add() SECURITY DEFINER SET search_path = '
        || (SELECT string_agg(quote_ident(name), ', ') FROM unnest(current_schemas(false)) AS name) || ', pg_temp';
END $$;
REVOKE ALL ON FUNCTION recording_counts_add() FROM PUBLIC;

DROP TRIGGER IF EXISTS recording_counts_insert ON recordings;
DROP TRIGGER IF EXISTS recording_counts_update ON recordings;
DROP TRIGGER IF EXISTS recording_counts_delete ON recordings;
CREATE TRIGGER recording_counts_insert AFTER INSERT ON recordings
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION recording_counts_add();
CREATE TRIGGER recording_counts_update AFTER UPDATE ON recordings
    REFERENCING OLD TABLE AS removed NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION recording_counts_add();
CREATE TRIGGER recording_counts_delete AFTER DELETE ON recordings
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION recording_counts_add();

DELETE FROM recording_counts;
INSERT INTO recording_counts SELECT state, count(*) FROM recordings GROUP BY state;
