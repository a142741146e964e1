//! What an import writes to the index and what it preserves.

use crate::support::RecordingEnv;
use sl::config::Config;
use sl::db::DbError;
use sl::recordings::{
    FormatMetadata, FormatName, ImportOptions, Imported, Index, RecordId, Shelf, Thumbnail,
};
use std::time::{Duration, SystemTime};

fn format(name: &str) -> FormatMetadata {
    FormatMetadata {
        record_id: RecordId::parse("r1").unwrap(),
        meeting_id: "m".to_owned(),
        name: Some("Algebra & Co".to_owned()),
        state: "published".to_owned(),
        published: true,
        start_ms: Some(1_767_225_600_123),
        end_ms: Some(1_767_229_245_120),
        participants: (name != "screenshare").then_some(4),
        metadata: vec![("bbb-origin".into(), "moodle".into()), ("gl-listed".into(), String::new())],
        is_breakout: false,
        breakout_parent: None,
        breakout_rooms: Vec::new(),
        raw_size: Some(91_220_450),
        format: FormatName::parse(name).unwrap(),
        url: format!("/playback/{name}/r1"),
        processing_time: Some(48_211),
        length: Some(60),
        size: Some(18_340_112),
        thumbnails: vec![
            Thumbnail {
                width: Some(176),
                height: Some(136),
                alt: Some("Week <1>".into()),
                url: "/t1.png".into(),
            },
            Thumbnail { width: None, height: None, alt: None, url: "/t2.png".into() },
        ],
    }
}

/// Runs a function with an index, in its own runtime.
fn with_index<T>(env: &RecordingEnv, run: impl AsyncFnOnce(&Index) -> T) -> T {
    let url = env.postgres.url();
    let config = Config::read(&|name| (name == "DATABASE_URL").then(|| url.clone())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { run(&Index::for_background(&config.recordings).unwrap()).await })
}

/// Locks the recording, imports, commits.
async fn import_into(
    index: &Index,
    formats: &[FormatMetadata],
    options: ImportOptions,
) -> Result<Imported, DbError> {
    let mut locked = index.lock(&RecordId::parse("r1").unwrap()).await?;
    let imported = locked.import(formats, options).await?;
    locked.commit().await?;
    Ok(imported)
}

fn import(env: &RecordingEnv, formats: &[FormatMetadata], options: ImportOptions) -> Imported {
    with_index(env, async |index| import_into(index, formats, options).await.unwrap())
}

fn row(env: &RecordingEnv) -> String {
    env.postgres.sql("SELECT published, state, protected, publish_updated, participants FROM recordings")
}

fn metadata(env: &RecordingEnv) -> String {
    env.postgres.sql("SELECT string_agg(key || '=' || value, ' ' ORDER BY key) FROM metadata")
}

fn default_options() -> ImportOptions {
    ImportOptions::default()
}

#[test]
fn import_writes_all_fields_and_is_idempotent() {
    let env = RecordingEnv::start();
    let formats = [format("screenshare"), format("presentation")];
    let imported = import(&env, &formats, default_options());
    assert_eq!((imported.new, imported.shelf), (true, Some(Shelf::Published)));
    let first = env.pool.get("getRecordings", "").success().body;
    insta::assert_snapshot!(first.replace(&env.pool.address(0), "[server]"));
    let again = import(&env, &formats, default_options());
    assert_eq!((again.new, again.shelf), (false, Some(Shelf::Published)));
    assert_eq!(env.pool.get("getRecordings", "").success().body, first);
    // The response without the cached document, read from the tables, is the same.
    env.postgres.sql("UPDATE recordings SET document = NULL");
    assert_eq!(env.pool.get("getRecordings", "").success().body, first);
}

#[test]
fn import_may_be_unpublished_and_protected() {
    let env = RecordingEnv::start();
    let options = ImportOptions { unpublished: true, protected: true, archived: None };
    assert_eq!(import(&env, &[format("video")], options).shelf, Some(Shelf::Unpublished));
    assert_eq!(row(&env), "f|unpublished|t|f|4");
}

#[test]
fn reimport_replaces_formats_and_keeps_client_changes() {
    let env = RecordingEnv::start();
    import(&env, &[format("presentation"), format("video")], default_options());
    env.pool
        .get("updateRecordings", "recordID=r1&meta_gl-listed=true&meta_bbb-origin=&protect=true")
        .success();
    with_index(&env, async |index| {
        let mut locked = index.lock(&RecordId::parse("r1").unwrap()).await.unwrap();
        assert!(locked.set_published(false).await.unwrap());
        locked.commit().await.unwrap();
    });
    let mut changed = format("presentation");
    changed.metadata.push(("course".into(), "new".into()));
    changed.url = "/playback/presentation/3/r1".to_owned();
    changed.thumbnails.truncate(1);
    let again = import(&env, &[changed.clone(), format("podcast")], default_options());
    assert_eq!(again.shelf, Some(Shelf::Unpublished), "a client unpublished it");
    assert_eq!(row(&env), "f|unpublished|t|t|4");
    assert_eq!(metadata(&env), "course=new gl-listed=true");
    let formats = "SELECT string_agg(format || ' ' || url, ',' ORDER BY format) FROM playback_formats";
    assert_eq!(
        env.postgres.sql(formats),
        "podcast /playback/podcast/r1,presentation /playback/presentation/3/r1,video /playback/video/r1"
    );
    assert_eq!(env.postgres.sql("SELECT count(*) FROM thumbnails"), "5");
    // Metadata that no client changed follow the archive.
    changed.metadata[2].1 = "newer".to_owned();
    import(&env, &[changed], default_options());
    assert_eq!(metadata(&env), "course=newer gl-listed=true");
    // Set by a client, it is no longer changed by imports.
    env.pool.get("updateRecordings", "recordID=r1&meta_bbb-origin=mine").success();
    import(&env, &[format("video")], default_options());
    assert_eq!(metadata(&env), "bbb-origin=mine course=newer gl-listed=true");
}

#[test]
fn metadata_written_by_scalelite_is_kept_as_client_change() {
    let env = RecordingEnv::start();
    env.add("r1", "m", 1);
    env.postgres.sql("UPDATE metadata SET value = 'mine' WHERE key = 'bbb-origin'");
    let imported = import(&env, &[format("video")], default_options());
    assert!(!imported.new);
    assert_eq!(metadata(&env), "bbb-origin=mine gl-listed=");
}

#[test]
fn deleted_recording_stays_deleted_unless_archive_is_newer() {
    let env = RecordingEnv::start();
    import(&env, &[format("video")], default_options());
    env.pool.get("updateRecordings", "recordID=r1&meta_gl-listed=true").success();
    env.pool.get("deleteRecordings", "recordID=r1").success();
    let hour = Duration::from_secs(3600);
    let options = ImportOptions { archived: Some(SystemTime::now() - hour), ..default_options() };
    assert_eq!(import(&env, &[format("video")], options).shelf, None);
    assert_eq!(env.record_ids(""), [""; 0]);
    let options = ImportOptions { archived: Some(SystemTime::now() + hour), ..default_options() };
    assert_eq!(import(&env, &[format("video")], options).shelf, Some(Shelf::Published));
    assert_eq!(env.record_ids(""), ["r1"]);
    assert_eq!(metadata(&env), "bbb-origin=moodle gl-listed=", "client changes do not survive deletion");
    assert_eq!(env.postgres.sql("SELECT deleted_at IS NULL FROM recordings"), "t");
}

#[test]
fn invalid_data_is_a_permanent_error_and_writes_nothing() {
    let env = RecordingEnv::start();
    with_index(&env, async |index| {
        let mut other = format("video");
        other.record_id = RecordId::parse("r2").unwrap();
        for formats in [vec![], vec![format("presentation"), other]] {
            let failure = import_into(index, &formats, default_options()).await.unwrap_err();
            assert!(!failure.is_transient(), "{failure}");
        }
        let mut long = format("video");
        // Longer than an index entry may be, and incompressible.
        long.meeting_id = (0..9000u32).map(|n| char::from_u32(0x4e00 + n * 7919 % 20_000).unwrap()).collect();
        let failure = import_into(index, &[long], default_options()).await.unwrap_err();
        assert!(!failure.is_transient(), "{failure}");
        let mut nul = format("video");
        nul.name = Some("\0".to_owned());
        let failure = import_into(index, &[nul], default_options()).await.unwrap_err();
        assert!(!failure.is_transient(), "{failure}");
    });
    assert_eq!(env.postgres.sql("SELECT count(*) FROM recordings"), "0");
}

#[test]
fn cached_document_is_invalidated_by_every_table_change() {
    let env = RecordingEnv::start();
    import(&env, &[format("video"), format("presentation")], default_options());
    let cached = "SELECT count(*) FROM recordings WHERE document IS NOT NULL";
    assert_eq!(env.postgres.sql(cached), "1");
    for change in [
        "UPDATE metadata SET value = 'x1' WHERE key = 'gl-listed'",
        "INSERT INTO metadata (recording_id, key, value) SELECT id, 'a', 'x2' FROM recordings",
        "DELETE FROM metadata WHERE key = 'a'",
        "UPDATE thumbnails SET alt = 'x3'",
        "DELETE FROM thumbnails WHERE sequence = 1",
        "INSERT INTO thumbnails (playback_format_id, url) SELECT id, '/x4' FROM playback_formats",
        "UPDATE playback_formats SET url = '/x5'",
    ] {
        env.postgres.sql("UPDATE recordings SET document = document");
        env.postgres.sql(change);
        assert_eq!(env.postgres.sql(cached), "0", "{change}");
        let output = env.pool.sl_ok(&["migrate"]);
        assert!(output.contains("1 recordings prepared"), "{output}");
        assert_eq!(env.postgres.sql(cached), "1");
        let body = env.pool.get("getRecordings", "").success().body;
        env.postgres.sql("UPDATE recordings SET document = NULL");
        assert_eq!(env.pool.get("getRecordings", "").success().body, body, "{change}");
        env.pool.sl_ok(&["migrate"]);
    }
}
