-- Keeps with each recording, as JSON, what getRecordings tells of its metadata, formats and images: one row to
-- read instead of ten. Null means that it must be put together from those tables, which is always right, only
-- slower. Whoever changes those tables, Scalelite too, makes it null; who writes it holds the recording's row,
-- as these triggers do, and looks at the tables after that: so it is never older than they are.

ALTER TABLE recordings ADD COLUMN IF NOT EXISTS document text;

CREATE OR REPLACE FUNCTION recording_documents_forget() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    ids bigint[];
BEGIN
    IF TG_TABLE_NAME = 'thumbnails' THEN
        IF TG_OP = 'DELETE' THEN
            ids := ARRAY(SELECT f.recording_id FROM playback_formats f
                WHERE f.id IN (SELECT playback_format_id FROM removed));
        ELSE
            ids := ARRAY(SELECT f.recording_id FROM playback_formats f
                WHERE f.id IN (SELECT playback_format_id FROM added));
        END IF;
    ELSIF TG_OP = 'DELETE' THEN
        ids := ARRAY(SELECT DISTINCT recording_id FROM removed);
    ELSE
        ids := ARRAY(SELECT DISTINCT recording_id FROM added);
    END IF;
    IF ids <> '{}' THEN
        PERFORM 1 FROM recordings WHERE id = ANY (ids) ORDER BY id FOR NO KEY UPDATE;
        UPDATE recordings SET document = NULL WHERE id = ANY (ids) AND document IS NOT NULL;
    END IF;
    RETURN NULL;
END $$;

-- With the rights of whoever migrated, and on these tables only: Scalelite may be another role.
DO $$ BEGIN
    EXECUTE 'ALTER FUNCTION recording_documents_forget() SECURITY DEFINER SET search_path = '
        || (SELECT string_agg(quote_ident(name), ', ') FROM unnest(current_schemas(false)) AS name) || ', pg_temp';
END $$;
REVOKE ALL ON FUNCTION recording_documents_forget() FROM PUBLIC;

DROP TRIGGER IF EXISTS recording_documents_insert ON metadata;
DROP TRIGGER IF EXISTS recording_documents_update ON metadata;
DROP TRIGGER IF EXISTS recording_documents_delete ON metadata;
CREATE TRIGGER recording_documents_insert AFTER INSERT ON metadata
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION recording_documents_forget();
CREATE TRIGGER recording_documents_update AFTER UPDATE ON metadata
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION recording_documents_forget();
CREATE TRIGGER recording_documents_delete AFTER DELETE ON metadata
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION recording_documents_forget();

DROP TRIGGER IF EXISTS recording_documents_insert ON playback_formats;
DROP TRIGGER IF EXISTS recording_documents_update ON playback_formats;
DROP TRIGGER IF EXISTS recording_documents_delete ON playback_formats;
CREATE TRIGGER recording_documents_insert AFTER INSERT ON playback_formats
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION recording_documents_forget();
CREATE TRIGGER recording_documents_update AFTER UPDATE ON playback_formats
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION recording_documents_forget();
CREATE TRIGGER recording_documents_delete AFTER DELETE ON playback_formats
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION recording_documents_forget();

DROP TRIGGER IF EXISTS recording_documents_insert ON thumbnails;
DROP TRIGGER IF EXISTS recording_documents_update ON thumbnails;
DROP TRIGGER IF EXISTS recording_documents_delete ON thumbnails;
CREATE TRIGGER recording_documents_insert AFTER INSERT ON thumbnails
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION recording_documents_forget();
CREATE TRIGGER recording_documents_update AFTER UPDATE ON thumbnails
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION recording_documents_forget();
CREATE TRIGGER recording_documents_delete AFTER DELETE ON thumbnails
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION recording_documents_forget();
