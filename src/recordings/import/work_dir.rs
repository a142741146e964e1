//! Where archives are unpacked: `{work_dir}/sl-import-{key}-{unique}`, one directory for each attempt.
//! The name has the key of the claim under which it was made, so whoever gets that claim knows that
//! the one who made it is dead, on whichever host that was.

use super::claim::{Claims, Key};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use tracing::{debug, warn};

const PREFIX: &str = "sl-import-";

/// The directory that holds the work directories.
#[derive(Debug, Clone)]
pub(super) struct Work(PathBuf);

/// A directory for one attempt, removed when dropped.
pub(super) struct Workshop(PathBuf);

impl Workshop {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            warn!(%error, path = %self.0.display(), "cannot remove a work directory; the next run will");
        }
    }
}

impl Work {
    pub(super) fn new(directory: PathBuf) -> Work {
        Work(directory)
    }

    /// A new directory. What earlier attempts for this key left is removed first: only for who has
    /// the claim.
    pub(super) fn open(&self, key: Key) -> io::Result<Workshop> {
        fs::create_dir_all(&self.0)?;
        self.clear(key)?;
        let name = format!("{PREFIX}{}-{}", key.hex(), uuid::Uuid::new_v4().simple());
        let path = self.0.join(name);
        fs::create_dir(&path)?;
        Ok(Workshop(path))
    }

    /// Removes what attempts that nobody works on any more have left.
    pub(super) async fn sweep(&self, claims: &Claims) -> Result<(), sqlx::Error> {
        let mut keys: Vec<Key> = self.directories().into_iter().map(|(key, _)| key).collect();
        keys.sort_by_key(|key| key.hex());
        keys.dedup();
        for key in keys {
            let Some(claim) = claims.claim(key).await? else { continue };
            let work = self.clone();
            let cleared = tokio::task::spawn_blocking(move || work.clear(key)).await;
            claim.release().await;
            match cleared {
                Ok(Ok(())) => debug!(key = key.hex(), "removed what a dead importer left"),
                Ok(Err(error)) => warn!(%error, "cannot remove what a dead importer left"),
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    fn clear(&self, key: Key) -> io::Result<()> {
        for (of, path) in self.directories() {
            if of == key {
                // Out of the way first: whoever made it may still be at it, and must not put half of
                // it on a shelf.
                let name = format!("{PREFIX}{}-{}", key.hex(), uuid::Uuid::new_v4().simple());
                let gone = self.0.join(name);
                match fs::rename(&path, &gone) {
                    Ok(()) => remove(&gone)?,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    fn directories(&self) -> Vec<(Key, PathBuf)> {
        let Ok(entries) = fs::read_dir(&self.0) else { return Vec::new() };
        entries
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let (key, _) = name.strip_prefix(PREFIX)?.split_once('-')?;
                Some((Key::parse(key)?, entry.path()))
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
