//! What is in the spool, for operators.

use super::Spool;
use super::names::{self, UploadedBy};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::SystemTime;

/// The spool at one moment.
#[derive(Debug, Default)]
pub struct SpoolListing {
    /// Archives that wait to be imported, or are being imported; oldest first.
    pub waiting: Vec<WaitingArchive>,
    /// Unfinished uploads: the name is the record id.
    pub arriving: Vec<WaitingArchive>,
    /// Archives in failed/, with their reasons, one line each; by name.
    pub failed: Vec<(WaitingArchive, Vec<String>)>,
}

/// An archive.
#[derive(Debug)]
pub struct WaitingArchive {
    /// Its name in the spool.
    pub name: String,
    /// Its size, bytes.
    pub bytes: u64,
    /// When it was last written.
    pub modified: SystemTime,
    /// The server that uploaded it. None if it came another way.
    pub server: Option<String>,
}

impl Spool {
    /// Lists what is there. Archives that disappear meanwhile are left out.
    pub fn listing(&self) -> io::Result<SpoolListing> {
        let mut listing = SpoolListing::default();
        for name in self.list()? {
            listing.waiting.extend(archive(self.directory(), name)?);
        }
        for entry in fs::read_dir(self.directory())? {
            if let Ok(name) = entry?.file_name().into_string()
                && let Some(id) = names::record_id_of_part(&name)
                && let Some(part) = archive(self.directory(), name)?
            {
                listing.arriving.push(WaitingArchive { name: id.as_str().to_owned(), ..part });
            }
        }
        listing.arriving.sort_by(|a, b| a.name.cmp(&b.name));
        let failed = self.directory().join(names::FAILED_DIRECTORY);
        for (name, reasons) in self.failed()? {
            if let Some(archive) = archive(&failed, name)? {
                listing.failed.push((archive, reasons.lines().map(str::to_owned).collect()));
            }
        }
        Ok(listing)
    }
}

fn archive(directory: &Path, name: String) -> io::Result<Option<WaitingArchive>> {
    let about = match fs::symlink_metadata(directory.join(&name)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        about => about?,
    };
    let server = UploadedBy::from_archive_name(&name).map(|upload| upload.server);
    Ok(Some(WaitingArchive { bytes: about.len(), modified: about.modified()?, server, name }))
}
