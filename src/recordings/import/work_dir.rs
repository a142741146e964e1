//! Where archives are unpacked: `{work_dir}/sl-import-{key}-{unique}`, one directory for each attempt.
//! Its name contains the key of the claim under which it was created: an importer that gets this claim knows
//! that the directory's creator is dead, on whichever host it ran.

use super::claim::{ClaimKey, ClaimPool};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use tracing::{debug, warn};

const PREFIX: &str = "sl-import-";

/// The directory that holds the work directories (RECORDING_WORK_DIR).
#[derive(Debug, Clone)]
pub(super) struct WorkDirs(PathBuf);

/// The work directory of one attempt, removed when dropped.
pub(super) struct WorkDir(PathBuf);

impl WorkDir {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            warn!(%error, path = %self.0.display(), "cannot remove a work directory; the next run will");
        }
    }
}

impl WorkDirs {
    pub(super) fn new(directory: PathBuf) -> WorkDirs {
        WorkDirs(directory)
    }

    /// Creates a work directory, and removes those of earlier attempts for this key. Only for the holder of
    /// its claim.
    pub(super) fn create(&self, key: ClaimKey) -> io::Result<WorkDir> {
        fs::create_dir_all(&self.0)?;
        self.remove_of(key)?;
        let path = self.new_path(key);
        fs::create_dir(&path)?;
        Ok(WorkDir(path))
    }

    /// Removes the work directories of dead importers.
    pub(super) async fn remove_abandoned(&self, claims: &ClaimPool) -> Result<(), sqlx::Error> {
        let mut keys: Vec<ClaimKey> = self.list().into_iter().map(|(key, _)| key).collect();
        keys.sort_by_key(|key| key.hex());
        keys.dedup();
        for key in keys {
            let Some(claim) = claims.try_claim(key).await? else { continue };
            let work_dirs = self.clone();
            let removed = tokio::task::spawn_blocking(move || work_dirs.remove_of(key)).await;
            claim.release().await;
            match removed {
                Ok(Ok(())) => debug!(key = key.hex(), "removed the work directory of a dead importer"),
                Ok(Err(error)) => warn!(%error, "cannot remove the work directory of a dead importer"),
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    fn remove_of(&self, key: ClaimKey) -> io::Result<()> {
        for (_, path) in self.list().into_iter().filter(|(of, _)| *of == key) {
            // Renamed first: a creator that lost its claim unnoticed may still be unpacking, and must not put
            // half a format on a shelf.
            let renamed = self.new_path(key);
            match fs::rename(&path, &renamed) {
                Ok(()) => remove(&renamed)?,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn new_path(&self, key: ClaimKey) -> PathBuf {
        self.0.join(format!("{PREFIX}{}-{}", key.hex(), uuid::Uuid::new_v4().simple()))
    }

    fn list(&self) -> Vec<(ClaimKey, PathBuf)> {
        let Ok(entries) = fs::read_dir(&self.0) else { return Vec::new() };
        entries
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let (key, _) = name.strip_prefix(PREFIX)?.split_once('-')?;
                Some((ClaimKey::parse(key)?, entry.path()))
            })
            .collect()
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
