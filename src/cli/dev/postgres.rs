//! The private Postgres of `sl dev`.

use super::{ChildGuard, free_port, start_as, wait_until};
use crate::config::Config;
use crate::db::{DEFAULT_CONNECTIONS, Database};
use anyhow::{Context, ensure};
use std::ffi::CStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A private Postgres, and the settings for it.
pub(super) struct Postgres {
    pub(super) process: ChildGuard,
    /// DATABASE_URL, and the directories of the recordings, which exist.
    pub(super) variables: Vec<(&'static str, String)>,
}

/// The directory with the newest version's programs on Debian; None if Postgres is not installed.
pub(super) fn installed() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<_> = versions
        .flatten()
        .filter_map(|entry| {
            Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin")))
        })
        .filter(|(_, path)| path.join("postgres").exists())
        .collect();
    found.sort();
    found.pop().map(|(_, path)| path)
}

/// Creates a cluster in `directory`, starts it, and creates its tables.
pub(super) async fn start(binaries: &Path, directory: &Path) -> anyhow::Result<Postgres> {
    let user = other_user()?;
    let cluster = directory.join("postgres");
    fs::create_dir(&cluster)?;
    if let Some((uid, gid)) = user {
        // The user must reach its own directory, and no other.
        fs::set_permissions(directory, fs::Permissions::from_mode(0o711))?;
        chown(&cluster, Some(uid), Some(gid))?;
    }
    let data = cluster.join("data").to_string_lossy().into_owned();
    let mut initdb = Command::new(binaries.join("initdb"));
    initdb.args(["-D", &data, "-U", "sl", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]);
    let output = as_user(&mut initdb, user).output().context("cannot run initdb")?;
    ensure!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
    let port = free_port()?.to_string();
    let settings = [
        "-D",
        &data,
        "-p",
        &port,
        "-k",
        "",
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "fsync=off",
        "-c",
        "log_min_messages=fatal",
    ];
    let process =
        start_as(&binaries.join("postgres"), &settings, &[], user).context("cannot start postgres")?;

    let mut variables = vec![("DATABASE_URL", format!("postgres://sl@127.0.0.1:{port}/postgres"))];
    for (name, part) in [
        ("RECORDING_PUBLISH_DIR", "published"),
        ("RECORDING_UNPUBLISH_DIR", "unpublished"),
        ("RECORDING_SPOOL_DIR", "spool"),
        ("RECORDING_WORK_DIR", "work"),
    ] {
        let path = directory.join(part);
        fs::create_dir(&path)?;
        variables.push((name, path.to_string_lossy().into_owned()));
    }
    let read = variables.clone();
    let config =
        Config::read(&move |name| read.iter().find(|(n, _)| *n == name).map(|(_, value)| value.clone()))?;
    let db = Database::for_background(&config.recordings, DEFAULT_CONNECTIONS).context("no DATABASE_URL")?;
    wait_until("the private Postgres", async || db.ping().await.is_ok()).await?;
    db.migrate(|_| {}).await?;
    Ok(Postgres { process, variables })
}

/// Postgres refuses to run as root: then it runs as the user that its package has created.
fn other_user() -> anyhow::Result<Option<(u32, u32)>> {
    // SAFETY: geteuid has no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        return Ok(None);
    }
    const NAME: &CStr = c"postgres";
    // SAFETY: the result is read before another call of getpwnam; this process has one thread so far.
    let ids = unsafe {
        let user = libc::getpwnam(NAME.as_ptr());
        (!user.is_null()).then(|| ((*user).pw_uid, (*user).pw_gid))
    };
    ids.map(Some).context("Postgres does not run as root, and there is no user postgres")
}

fn as_user(command: &mut Command, user: Option<(u32, u32)>) -> &mut Command {
    use std::os::unix::process::CommandExt;
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command.current_dir("/")
}
