//! A look at the directories of recordings when a replica starts. What is wrong with them is said in the log, and
//! stops nothing: a mount may come later.

use crate::config::Config;
use rustix::fs::{Access, access};
use std::path::Path;
use tracing::warn;

/// A directory that a replica with these roles cannot use.
#[derive(Debug, PartialEq, Eq)]
struct BadDirectory {
    variable: &'static str,
    reason: String,
}

/// Logs which directories are missing, or not accessible. `serves` and `imports` say what this replica does with
/// recordings.
pub fn check(config: &Config, serves: bool, imports: bool) {
    for BadDirectory { variable, reason } in find_bad(config, serves, imports) {
        warn!(setting = variable, "{reason}");
    }
}

fn find_bad(config: &Config, serves: bool, imports: bool) -> Vec<BadDirectory> {
    let recordings = &config.recordings;
    if !recordings.enabled() {
        return Vec::new();
    }
    let mut used = Vec::new();
    if serves || imports {
        // Uploads are written to it, imports delete from it.
        used.push(("RECORDING_SPOOL_DIR", &recordings.spool_dir));
    }
    // Published and deleted by calls, filled by the importer. In S3 there are no directories.
    if recordings.s3.is_none() {
        used.push(("RECORDING_PUBLISH_DIR", &recordings.publish_dir));
        used.push(("RECORDING_UNPUBLISH_DIR", &recordings.unpublish_dir));
    }
    if imports {
        used.push(("RECORDING_WORK_DIR", &config.import.work_dir));
    }
    let find = |(variable, path): (&'static str, &std::path::PathBuf)| {
        let may_be_created = variable == "RECORDING_WORK_DIR" && !path.exists();
        let path = if may_be_created { existing_parent(path) } else { path };
        problem(path).map(|reason| BadDirectory { variable, reason })
    };
    used.into_iter().filter_map(find).collect()
}

/// The nearest directory above that exists.
fn existing_parent(path: &Path) -> &Path {
    path.ancestors().find(|parent| parent.exists()).unwrap_or(path)
}

/// What is wrong with a directory that must be read and written.
fn problem(path: &Path) -> Option<String> {
    let at = path.display();
    match path.metadata() {
        Err(error) => return Some(format!("{at} cannot be used: {error}")),
        Ok(found) if !found.is_dir() => return Some(format!("{at} is not a directory")),
        Ok(_) => {}
    }
    if let Err(error) = access(path, Access::READ_OK | Access::EXEC_OK) {
        return Some(format!("{at} cannot be read: {error}"));
    }
    match access(path, Access::WRITE_OK) {
        Err(error) => Some(format!("{at} cannot be written: {error}")),
        Ok(()) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_and_unusable_directories_are_found() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        std::fs::create_dir(path("published")).unwrap();
        std::fs::write(path("file"), "").unwrap();
        let config = Config::read(&|name| match name {
            "DATABASE_URL" => Some("postgres://127.0.0.1/sl".to_owned()),
            "RECORDING_SPOOL_DIR" => Some(path("missing")),
            "RECORDING_PUBLISH_DIR" => Some(path("published")),
            "RECORDING_UNPUBLISH_DIR" => Some(path("file")),
            "RECORDING_WORK_DIR" => Some(path("made/later")),
            _ => None,
        })
        .unwrap();
        let bad = find_bad(&config, true, true);
        let variables: Vec<_> = bad.iter().map(|bad| bad.variable).collect();
        assert_eq!(variables, ["RECORDING_SPOOL_DIR", "RECORDING_UNPUBLISH_DIR"]);
        assert!(bad[0].reason.contains("missing cannot be used: No such file"), "{}", bad[0].reason);
        assert!(bad[1].reason.ends_with("file is not a directory"), "{}", bad[1].reason);
    }

    #[test]
    fn a_pool_without_recordings_has_no_directories() {
        let config = Config::read(&|_| None).unwrap();
        assert_eq!(find_bad(&config, true, true), []);
    }
}
