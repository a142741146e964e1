//! What an import writes, and what it leaves.

use crate::support::Library;
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

/// Runs something with an index, in a runtime of its own.
fn with_index<T>(library: &Library, run: impl AsyncFnOnce(&Index) -> T) -> T {
    let url = library.postgres.url();
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

fn import(library: &Library, formats: &[FormatMetadata], options: ImportOptions) -> Imported {
    with_index(library, async |index| import_into(index, formats, options).await.unwrap())
}

fn row(library: &Library) -> String {
    library.postgres.sql("SELECT published, state, protected, publish_updated, participants FROM recordings")
}

fn metadata(library: &Library) -> String {
    library.postgres.sql("SELECT string_agg(key || '=' || value, ' ' ORDER BY key) FROM metadata")
}

fn plain() -> ImportOptions {
    ImportOptions::default()
}

#[test]
fn all_is_written_and_twice_is_once() {
    let library = Library::start();
    let formats = [format("screenshare"), format("presentation")];
    let imported = import(&library, &formats, plain());
    assert_eq!((imported.new, imported.shelf), (true, Some(Shelf::Published)));
    let first = library.pool.get("getRecordings", "").success().body;
    insta::assert_snapshot!(first.replace(&library.pool.address(0), "[server]"));
    let again = import(&library, &formats, plain());
    assert_eq!((again.new, again.shelf), (false, Some(Shelf::Published)));
    assert_eq!(library.pool.get("getRecordings", "").success().body, first);
    // What is read is what stands in the tables.
    library.postgres.sql("UPDATE recordings SET document = NULL");
    assert_eq!(library.pool.get("getRecordings", "").success().body, first);
}

#[test]
fn as_unpublished_and_as_protected() {
    let library = Library::start();
    let options = ImportOptions { unpublished: true, protected: true, archived: None };
    assert_eq!(import(&library, &[format("video")], options).shelf, Some(Shelf::Unpublished));
    assert_eq!(row(&library), "f|unpublished|t|f|4");
}

#[test]
fn a_reprocessed_recording_gets_its_formats_anew_and_keeps_what_clients_said() {
    let library = Library::start();
    import(&library, &[format("presentation"), format("video")], plain());
    library
        .pool
        .get("updateRecordings", "recordID=r1&meta_gl-listed=true&meta_bbb-origin=&protect=true")
        .success();
    with_index(&library, async |index| {
        let mut locked = index.lock(&RecordId::parse("r1").unwrap()).await.unwrap();
        assert!(locked.set_published(false).await.unwrap());
        locked.commit().await.unwrap();
    });
    let mut changed = format("presentation");
    changed.metadata.push(("course".into(), "new".into()));
    changed.url = "/playback/presentation/3/r1".to_owned();
    changed.thumbnails.truncate(1);
    let again = import(&library, &[changed.clone(), format("podcast")], plain());
    assert_eq!(again.shelf, Some(Shelf::Unpublished), "a client has said so");
    assert_eq!(row(&library), "f|unpublished|t|t|4");
    assert_eq!(metadata(&library), "course=new gl-listed=true");
    let formats = "SELECT string_agg(format || ' ' || url, ',' ORDER BY format) FROM playback_formats";
    assert_eq!(
        library.postgres.sql(formats),
        "podcast /playback/podcast/r1,presentation /playback/presentation/3/r1,video /playback/video/r1"
    );
    assert_eq!(library.postgres.sql("SELECT count(*) FROM thumbnails"), "5");
    // What no client has touched follows the archive.
    changed.metadata[2].1 = "newer".to_owned();
    import(&library, &[changed], plain());
    assert_eq!(metadata(&library), "course=newer gl-listed=true");
    // Set again, it is a client's, and an import's no more.
    library.pool.get("updateRecordings", "recordID=r1&meta_bbb-origin=mine").success();
    import(&library, &[format("video")], plain());
    assert_eq!(metadata(&library), "bbb-origin=mine course=newer gl-listed=true");
}

#[test]
fn what_scalelite_wrote_is_kept_since_it_may_be_a_clients() {
    let library = Library::start();
    library.add("r1", "m", 1);
    library.postgres.sql("UPDATE metadata SET value = 'mine' WHERE key = 'bbb-origin'");
    let imported = import(&library, &[format("video")], plain());
    assert!(!imported.new);
    assert_eq!(metadata(&library), "bbb-origin=mine gl-listed=");
}

#[test]
fn a_deleted_recording_stays_deleted_unless_its_archive_is_younger() {
    let library = Library::start();
    import(&library, &[format("video")], plain());
    library.pool.get("updateRecordings", "recordID=r1&meta_gl-listed=true").success();
    library.pool.get("deleteRecordings", "recordID=r1").success();
    let hour = Duration::from_secs(3600);
    let options = ImportOptions { archived: Some(SystemTime::now() - hour), ..plain() };
    assert_eq!(import(&library, &[format("video")], options).shelf, None);
    assert_eq!(library.listed(""), [""; 0]);
    let options = ImportOptions { archived: Some(SystemTime::now() + hour), ..plain() };
    assert_eq!(import(&library, &[format("video")], options).shelf, Some(Shelf::Published));
    assert_eq!(library.listed(""), ["r1"]);
    assert_eq!(metadata(&library), "bbb-origin=moodle gl-listed=", "it begins anew");
    assert_eq!(library.postgres.sql("SELECT deleted_at IS NULL FROM recordings"), "t");
}

#[test]
fn wrong_data_is_an_error_for_good_and_leaves_nothing() {
    let library = Library::start();
    with_index(&library, async |index| {
        let mut other = format("video");
        other.record_id = RecordId::parse("r2").unwrap();
        for formats in [vec![], vec![format("presentation"), other]] {
            let failure = import_into(index, &formats, plain()).await.unwrap_err();
            assert!(!failure.is_transient(), "{failure}");
        }
        let mut long = format("video");
        // Longer than an index takes, and not to be made shorter by compressing it.
        long.meeting_id = (0..9000u32).map(|n| char::from_u32(0x4e00 + n * 7919 % 20_000).unwrap()).collect();
        let failure = import_into(index, &[long], plain()).await.unwrap_err();
        assert!(!failure.is_transient(), "{failure}");
        let mut nul = format("video");
        nul.name = Some("\0".to_owned());
        let failure = import_into(index, &[nul], plain()).await.unwrap_err();
        assert!(!failure.is_transient(), "{failure}");
    });
    assert_eq!(library.postgres.sql("SELECT count(*) FROM recordings"), "0");
}

#[test]
fn what_is_kept_with_a_recording_is_never_older_than_its_tables() {
    let library = Library::start();
    import(&library, &[format("video"), format("presentation")], plain());
    let kept = "SELECT count(*) FROM recordings WHERE document IS NOT NULL";
    assert_eq!(library.postgres.sql(kept), "1");
    for change in [
        "UPDATE metadata SET value = 'x1' WHERE key = 'gl-listed'",
        "INSERT INTO metadata (recording_id, key, value) SELECT id, 'a', 'x2' FROM recordings",
        "DELETE FROM metadata WHERE key = 'a'",
        "UPDATE thumbnails SET alt = 'x3'",
        "DELETE FROM thumbnails WHERE sequence = 1",
        "INSERT INTO thumbnails (playback_format_id, url) SELECT id, '/x4' FROM playback_formats",
        "UPDATE playback_formats SET url = '/x5'",
    ] {
        library.postgres.sql("UPDATE recordings SET document = document");
        library.postgres.sql(change);
        assert_eq!(library.postgres.sql(kept), "0", "{change}");
        let told = library.pool.sl_ok(&["migrate"]);
        assert!(told.contains("1 recordings prepared"), "{told}");
        assert_eq!(library.postgres.sql(kept), "1");
        let body = library.pool.get("getRecordings", "").success().body;
        library.postgres.sql("UPDATE recordings SET document = NULL");
        assert_eq!(library.pool.get("getRecordings", "").success().body, body, "{change}");
        library.pool.sl_ok(&["migrate"]);
    }
}
