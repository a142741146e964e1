//! The scripts of bigbluebutton/, run with the system's Ruby as on a BBB server.

use super::*;
use crate::support::ROOT;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::SystemTime;
use tempfile::TempDir;

/// The recording side of a BBB server: published formats, and the scripts with their settings.
struct BbbServer(TempDir);

impl BbbServer {
    fn new(settings: &str) -> BbbServer {
        let directory = TempDir::new().unwrap();
        let dir = directory.path().display();
        for name in ["published", "status"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        // Records which recordings it is to delete.
        let delete = directory.path().join("delete");
        fs::write(&delete, format!("#!/bin/sh\necho \"$@\" >>{dir}/deleted\n")).unwrap();
        let config = format!(
            "{settings}\nwait: 0.05\npublished_dir: {dir}/published\nwork_dir: {dir}/work\nlog_file: {dir}/log\n\
             status_dir: {dir}/status\ndelete_command: [sh, {dir}/delete, --delete]\n"
        );
        fs::write(directory.path().join("sl.yml"), config).unwrap();
        BbbServer(directory)
    }

    fn of(env: &RecordingEnv, settings: &str) -> BbbServer {
        let (address, secret) = (env.pool.address(0), env.pool.server(1).secret());
        BbbServer::new(&format!("url: http://{address}\nallow_http: true\nsecret: {secret}\n{settings}"))
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    /// Makes BBB publish the formats of a recording.
    fn publish(&self, recording: &Recording) {
        let tar = self.path("archive");
        fs::write(&tar, archive(recording)).unwrap();
        let done = Command::new("tar").arg("-xf").arg(&tar).arg("-C").arg(self.path("published")).status();
        assert!(done.unwrap().success());
        fs::remove_file(tar).unwrap();
        for format in fs::read_dir(self.path("published")).unwrap().map(|entry| entry.unwrap()) {
            if format.path().join(recording.record_id()).exists() {
                let name = format.file_name().into_string().unwrap();
                fs::write(self.path(&format!("status/{}-{name}.done", recording.record_id())), "").unwrap();
            }
        }
    }

    fn command(&self, script: &str, args: &[&str]) -> Command {
        let mut command = Command::new("ruby");
        command.arg("-w").arg(format!("{ROOT}/bigbluebutton/{script}")).args(args);
        command.env("SL_RECORDINGS_CONFIG", self.path("sl.yml"));
        command
    }

    fn run(&self, script: &str, args: &[&str]) -> Output {
        self.command(script, args).output().expect("ruby (apt-get install ruby)")
    }

    #[track_caller]
    fn run_ok(&self, script: &str, args: &[&str]) -> String {
        let output = self.run(script, args);
        assert!(output.status.success(), "{output:?} {}", self.log());
        assert!(output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Whether uploads left no temporary files or locks.
    fn is_clean(&self) -> bool {
        let names = fs::read_dir(self.path("work")).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        let locks = fs::read_dir(self.path("work/locks")).unwrap().filter_map(Result::ok);
        names == ["locks", "sent"] && locks.filter(|lock| lock.file_name() != "batch").count() == 0
    }
}

#[test]
fn published_formats_are_uploaded_and_pruned_afterwards() {
    let env = start_env(&["--no-poller", "--importer"], &[]);
    let bbb = BbbServer::of(&env, "");
    let (first, both) = (recording(1, &[Presentation]), recording(1, &[Presentation, Video]));
    let id = first.record_id();
    bbb.publish(&first);
    bbb.run_ok("post_publish_sl.rb", &["-m", &id, "-f", "presentation"]);
    eventually("it is imported", || env.record_ids("") == [id.as_str()]);
    bbb.publish(&both);
    bbb.run_ok("post_publish_sl.rb", &["-m", &id, "-f", "video"]);
    eventually("both are there", || env.formats_on(&env.published()).len() == 2);
    eventually("it is in the index", || {
        env.pool.get("getRecordings", "").body.matches("<format>").count() == 2
    });
    assert!(
        bbb.is_clean() && bbb.log().contains(&format!("{id} sent: presentation, video")),
        "{}",
        bbb.log()
    );
    // Nothing is pruned before its time, nor what the balancer does not have.
    assert_eq!(bbb.run_ok("sl_prune_recordings.rb", &[]), "");
    fs::write(bbb.path("work/sent/lost-1"), "").unwrap();
    assert_eq!(
        bbb.run_ok("sl_prune_recordings.rb", &["--days", "0", "--dry-run"]),
        format!("{id} would be deleted\n")
    );
    assert!(!bbb.path("deleted").exists());
    bbb.run_ok("sl_prune_recordings.rb", &["--days", "0"]);
    assert_eq!(fs::read_to_string(bbb.path("deleted")).unwrap(), format!("--delete {id}\n"));
    assert_eq!(bbb.run_ok("sl_prune_recordings.rb", &["--days", "0"]), "");
}

#[test]
fn batch_import_uploads_old_and_failed_recordings() {
    let mut env = start_env(&["--no-poller", "--importer"], &[]);
    let port = env.pool.replicas[0].port;
    let bbb = BbbServer::of(&env, "attempts: 3\nchunk_size: 20000");
    let recordings: Vec<_> = (1..=3).map(|n| recording(n, &[Presentation, Notes])).collect();
    let ids: Vec<_> = recordings.iter().map(|r| r.record_id()).collect();
    recordings.iter().for_each(|recording| bbb.publish(recording));
    env.pool.replicas.clear();
    let output = bbb.run("post_publish_sl.rb", &["-m", &ids[0]]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("was not sent"), "{output:?}");
    assert!(bbb.log().contains("was not sent"), "{}", bbb.log());
    assert!(bbb.is_clean());
    env.pool.serve_at(port, &["--no-poller", "--importer"]);
    assert_eq!(bbb.run_ok("sl_batch_import.rb", &["--dry-run"]).lines().count(), 3);
    let printed = bbb.run_ok("sl_batch_import.rb", &[]);
    // In several chunks each, the oldest first.
    let lines: Vec<_> = (0..3).map(|n| format!("{}/3 {} sent", n + 1, ids[n])).collect();
    assert_eq!(printed.lines().collect::<Vec<_>>(), lines);
    eventually("all are there", || env.record_ids("").len() == 3);
    assert_eq!(bbb.run_ok("sl_batch_import.rb", &[]), "");
    assert_eq!(bbb.run_ok("sl_batch_import.rb", &["--again"]).lines().count(), 3);
}

#[test]
fn failed_format_is_uploaded_by_batch_import_before_it_may_be_pruned() {
    let mut env = start_env(&["--no-poller", "--importer"], &[]);
    let port = env.pool.replicas[0].port;
    let bbb = BbbServer::of(&env, "attempts: 2");
    let (first, both) = (recording(1, &[Presentation]), recording(1, &[Presentation, Video]));
    let id = first.record_id();
    bbb.publish(&first);
    bbb.run_ok("post_publish_sl.rb", &["-m", &id, "-f", "presentation"]);
    eventually("it is imported", || env.record_ids("") == [id.as_str()]);
    env.pool.replicas.clear();
    bbb.publish(&both);
    assert_eq!(bbb.run("post_publish_sl.rb", &["-m", &id, "-f", "video"]).status.code(), Some(1));
    env.pool.serve_at(port, &["--no-poller", "--importer"]);
    assert_eq!(bbb.run_ok("sl_prune_recordings.rb", &["--days", "0"]), "");
    assert_eq!(bbb.run_ok("sl_batch_import.rb", &[]), format!("1/1 {id} sent\n"));
    eventually("both are there", || env.formats_on(&env.published()).len() == 2);
    // Processed again: the local files are newer than what was sent.
    let metadata = bbb.path("published/video").join(&id).join("metadata.xml");
    fs::File::options().write(true).open(&metadata).unwrap().set_modified(SystemTime::now()).unwrap();
    assert_eq!(bbb.run_ok("sl_prune_recordings.rb", &["--days", "0"]), "");
    bbb.run_ok("sl_batch_import.rb", &[]);
    eventually("it is imported again", || env.spool_names().is_empty());
    assert_eq!(bbb.run_ok("sl_prune_recordings.rb", &["--days", "0"]), format!("{id} deleted\n"));
    assert!(bbb.is_clean());
}

#[test]
fn batch_import_skips_formats_still_being_published() {
    let env = start_env(&["--no-poller"], &[]);
    let bbb = BbbServer::of(&env, "");
    let recording = recording(1, &[Presentation, Video]);
    let id = recording.record_id();
    bbb.publish(&recording);
    fs::remove_file(bbb.path(&format!("status/{id}-video.done"))).unwrap();
    assert_eq!(bbb.run_ok("sl_batch_import.rb", &["--dry-run"]), format!("1/1 {id} (presentation)\n"));
    // The format the script is called for needs no .done file: BigBlueButton calls it once that is published.
    bbb.run_ok("post_publish_sl.rb", &["-m", &id, "-f", "video"]);
    assert!(bbb.log().contains("sent: presentation, video"), "{}", bbb.log());
}

/// As when an administrator forgets sudo -u.
#[test]
fn script_run_by_root_leaves_no_files_of_root() {
    use std::os::unix::fs::MetadataExt;
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return eprintln!("not tested: not root");
    }
    let env = start_env(&["--no-poller"], &[]);
    let bbb = BbbServer::of(&env, "");
    bbb.publish(&recording(1, &[Notes]));
    let chown = Command::new("chown").args(["-R", "nobody"]).arg(bbb.0.path()).status();
    assert!(chown.unwrap().success());
    let nobody = fs::metadata(bbb.path("published")).unwrap().uid();
    bbb.run_ok("sl_batch_import.rb", &[]);
    for name in ["work", "work/sent", "work/locks", "work/locks/batch", "log"] {
        assert_eq!(fs::metadata(bbb.path(name)).unwrap().uid(), nobody, "{name}");
    }
}

/// The owner of the recordings may not use it to write, or to delete, as root.
#[test]
fn prune_run_by_root_touches_files_as_their_owner() {
    use std::os::unix::fs::{MetadataExt, symlink};
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return eprintln!("not tested: not root");
    }
    let env = start_env(&["--no-poller", "--importer"], &[]);
    let bbb = BbbServer::of(&env, "");
    let dir = bbb.0.path().display().to_string();
    fs::write(bbb.path("delete"), format!("#!/bin/sh\necho \"$@\" as $(id -u) >>{dir}/deleted\n")).unwrap();
    let recordings: Vec<_> = (1..=3).map(|n| recording(n, &[Notes])).collect();
    let mut ids: Vec<_> = recordings.iter().map(|recording| recording.record_id()).collect();
    ids.sort();
    recordings.iter().for_each(|recording| bbb.publish(recording));
    let chown = Command::new("chown").args(["-R", "nobody"]).arg(bbb.0.path()).status();
    assert!(chown.unwrap().success());
    bbb.run_ok("sl_batch_import.rb", &[]);
    eventually("all are imported", || env.record_ids("").len() == 3);
    // Links of the owner to a directory that only root may write to.
    let of_root = TempDir::new().unwrap();
    fs::set_permissions(of_root.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    symlink(of_root.path().join("made"), bbb.path("work/locks").join(&ids[0])).unwrap();
    let output = bbb.run("sl_prune_recordings.rb", &["--days", "0"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains(&ids[0]), "{output:?}");
    assert_eq!(fs::read_dir(of_root.path()).unwrap().count(), 0, "a file was made as root");
    let deleted = fs::read_to_string(bbb.path("deleted")).unwrap();
    assert_eq!(deleted, format!("--delete {} as 0\n--delete {} as 0\n", ids[1], ids[2]));
    // A directory of marks that is elsewhere.
    fs::write(of_root.path().join(&ids[0]), fs::read(bbb.path("work/sent").join(&ids[0])).unwrap()).unwrap();
    fs::remove_file(bbb.path("work/locks").join(&ids[0])).unwrap();
    fs::rename(bbb.path("work/sent"), bbb.path("work/moved")).unwrap();
    symlink(of_root.path(), bbb.path("work/sent")).unwrap();
    bbb.run("sl_prune_recordings.rb", &["--days", "0"]);
    assert!(of_root.path().join(&ids[0]).exists(), "a file was deleted as root");
    // The work directory itself: not taken for one of root.
    fs::rename(bbb.path("work"), bbb.path("elsewhere")).unwrap();
    symlink(of_root.path(), bbb.path("work")).unwrap();
    let nobody = fs::metadata(bbb.path("published")).unwrap().uid();
    std::os::unix::fs::lchown(bbb.path("work"), Some(nobody), None).unwrap();
    assert_eq!(bbb.run("sl_prune_recordings.rb", &["--days", "0"]).status.code(), Some(1));
    assert_eq!(fs::read_dir(of_root.path()).unwrap().count(), 1, "directories were made as root");
}

#[test]
fn script_resumes_upload_after_replica_is_killed() {
    let mut env = start_env(&["--no-poller"], &[]);
    let port = env.pool.replicas[0].port;
    let bbb = BbbServer::of(&env, "chunk_size: 200000");
    let recording = Recording { size: 20_000_000, ..recording(1, &[Video]) };
    bbb.publish(&recording);
    let mut script = bbb.command("post_publish_sl.rb", &["-m", &recording.record_id()]).spawn().unwrap();
    eventually("a part of it is there", || env.spool_names().iter().any(|name| name.starts_with('.')));
    env.pool.replicas.clear();
    let part = env.spool_names();
    assert!(part.len() == 1 && part[0].starts_with('.'), "the upload finished too early: {part:?}");
    env.pool.serve_at(port, &["--no-poller"]);
    assert!(script.wait().unwrap().success(), "{}", bbb.log());
    assert_eq!(env.spool_names(), [format!("{}.upload.bbb1.tar", recording.record_id())]);
    let unpacked = TempDir::new().unwrap();
    let mut tar = Command::new("tar");
    tar.arg("-xf").arg(env.spool().join(&env.spool_names()[0])).arg("-C").arg(unpacked.path());
    assert!(tar.status().unwrap().success());
    let same = Command::new("diff").arg("-r").arg(unpacked.path()).arg(bbb.path("published")).status();
    assert!(same.unwrap().success());
}

#[test]
fn wrong_secret_is_reported_without_retry() {
    let env = start_env(&["--no-poller"], &[]);
    let bbb =
        BbbServer::new(&format!("url: http://{}\nallow_http: true\nsecret: wrong", env.pool.address(0)));
    let recording = recording(1, &[Notes]);
    bbb.publish(&recording);
    let output = bbb.run("post_publish_sl.rb", &["-m", &recording.record_id()]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("answered 401"), "{errors}");
    assert!(!errors.contains("wrong"), "{errors}");
    let output = bbb.run("post_publish_sl.rb", &["-m", "../../etc"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("not a valid record id"), "{output:?}");
    assert!(bbb.run("post_publish_sl.rb", &[]).status.code() == Some(1));
    for settings in ["url: http://sl.example.org", "url: http://sl.example.org\nallow_http: \"no\""] {
        let output = BbbServer::new(&format!("{settings}\nsecret: s")).run("sl_batch_import.rb", &[]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(1) && errors.contains("url must begin with https://"),
            "{errors}"
        );
    }
    let unset = BbbServer::new("");
    let output = unset.run("sl_batch_import.rb", &[]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("either url or spool_dir"), "{output:?}");
}

#[test]
fn script_copies_into_mounted_spool_or_with_rsync() {
    let env = start_env(&["--no-poller", "--importer"], &[]);
    let spool = env.spool();
    let with = |settings: String, n: u64| {
        let bbb = BbbServer::new(&settings);
        let recording = recording(n, &[Presentation]);
        bbb.publish(&recording);
        bbb.run_ok("post_publish_sl.rb", &["-m", &recording.record_id(), "-f", "presentation"]);
        eventually("it is imported", || env.record_ids("").contains(&recording.record_id()));
        bbb
    };
    let mounted = with(format!("spool_dir: {}", spool.display()), 1);
    eventually("nothing is left in the spool", || env.spool_names().is_empty());
    // An unmounted spool would look the same, so nothing is pruned without --trust.
    assert_eq!(mounted.run_ok("sl_prune_recordings.rb", &["--days", "0"]), "");
    assert_eq!(mounted.run_ok("sl_prune_recordings.rb", &["--days", "0", "--trust"]).lines().count(), 1);
    // rsync to a remote machine, faked by a local shell.
    let shell = TempDir::new().unwrap();
    let script = shell.path().join("shell");
    fs::write(&script, "#!/bin/sh\nshift\nexec sh -c \"$*\"\n").unwrap();
    make_executable(&script);
    let settings =
        format!("spool_dir: \"far:{}\"\nextra_rsync_opts: [\"--rsh={}\"]", spool.display(), script.display());
    let far = with(settings, 2);
    assert_eq!(far.run_ok("sl_prune_recordings.rb", &["--days", "0"]), "");
    assert_eq!(far.run_ok("sl_prune_recordings.rb", &["--days", "0", "--trust"]).lines().count(), 1);
    let gone = BbbServer::new("spool_dir: /nowhere/at/all");
    gone.publish(&recording(3, &[Notes]));
    let output = gone.run("sl_batch_import.rb", &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("is it mounted"), "{output:?}");
}

fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
