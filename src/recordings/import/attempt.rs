//! One attempt at an archive of the spool: is it whole, is it ours, and where it goes afterwards.

use super::Importer;
use super::archive::{ImportError, Report};
use super::claim::{Claim, Key};
use crate::blocking::run_blocking;
use crate::recordings::spool::directory::{self as spool, Spool, Stamp};
use crate::recordings::unpack::Watch;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tracing::{debug, info, warn};

/// An archive that breaks off is bad when it has not changed for so many times the settling time.
const PATIENCE: u32 = 10;

/// What came of one attempt.
pub(super) enum Outcome {
    /// Nothing is there any more.
    Gone,
    /// Still being written, as far as can be told; it looks like this since then.
    Growing(Stamp, Instant),
    Busy,
    Imported(Report),
    Quarantined(Vec<String>),
    Postponed(ImportError),
}

impl From<ImportError> for Outcome {
    fn from(error: ImportError) -> Outcome {
        match error {
            ImportError::Busy => Outcome::Busy,
            ImportError::Gone => Outcome::Gone,
            ImportError::Bad(reasons) => Outcome::Quarantined(reasons),
            error => Outcome::Postponed(error),
        }
    }
}

impl Importer {
    /// Imports an archive of the spool, if it is whole and nobody else does. `seen` is what it looked
    /// like before, and since when.
    pub(super) async fn attempt(
        &self,
        name: &str,
        seen: Option<(Stamp, Instant)>,
        settle: Duration,
        watch: Arc<Watch>,
    ) -> Outcome {
        self.try_to(name, seen, settle, watch).await.unwrap_or_else(Outcome::from)
    }

    async fn try_to(
        &self,
        name: &str,
        seen: Option<(Stamp, Instant)>,
        settle: Duration,
        watch: Arc<Watch>,
    ) -> Result<Outcome, ImportError> {
        let now = Instant::now();
        let look = self
            .in_spool(name, |spool, name| {
                let look = spool.open(name)?.map(|(file, stamp)| (spool::is_being_written(&file), stamp));
                Ok((look, spool.has_aside(name)))
            })
            .await?;
        let mut since = now;
        if let (Some((written, stamp)), _) = look {
            if let Some((_, before)) = seen.filter(|(before, _)| *before == stamp) {
                since = before;
            }
            let is_whole = match written {
                Some(written) => !written,
                None => now - since >= settle,
            };
            if !is_whole {
                debug!(archive = name, "still growing, or just arrived");
                return Ok(Outcome::Growing(stamp, since));
            }
        } else if !look.1 {
            return Ok(Outcome::Gone);
        }
        let key = Key::of(name);
        let Some(mut claim) = self.claims.claim(key).await? else { return Ok(Outcome::Busy) };
        let patient = now - since < settle * PATIENCE;
        let outcome =
            self.claimed(name, look.0.map(|(_, stamp)| stamp), key, &mut claim, watch, patient).await;
        claim.release().await;
        match outcome {
            Ok(Outcome::Growing(stamp, _)) => Ok(Outcome::Growing(stamp, since)),
            outcome => outcome,
        }
    }

    async fn claimed(
        &self,
        name: &str,
        expected: Option<Stamp>,
        key: Key,
        claim: &mut Claim,
        watch: Arc<Watch>,
        patient: bool,
    ) -> Result<Outcome, ImportError> {
        let began = Instant::now();
        let opened = self
            .in_spool(name, |spool, name| {
                spool.recover(name)?;
                spool.open(name)
            })
            .await?;
        // Whoever had the claim before may have finished just now.
        let Some((file, stamp)) = opened else { return Ok(Outcome::Gone) };
        if expected.is_some_and(|expected| expected != stamp) {
            return Ok(Outcome::Growing(stamp, began));
        }
        let made = file.metadata().and_then(|about| about.modified()).ok();
        let report = match self.import(file, key, claim, watch, made).await {
            Err(ImportError::Truncated(_)) if patient => return Ok(Outcome::Growing(stamp, began)),
            Err(ImportError::Truncated(reason)) => Err(vec![reason]),
            Err(ImportError::Bad(reasons)) => Err(reasons),
            result => Ok(result?),
        };
        match report {
            Ok(report) => {
                for what in &report.ignored {
                    warn!(archive = name, "not imported: {what}");
                }
                for (id, formats) in &report.recordings {
                    info!(
                        record_id = %id,
                        formats = formats.join(","),
                        files = report.files,
                        bytes = report.bytes,
                        ms = began.elapsed().as_millis() as u64,
                        "imported"
                    );
                }
                if report.bad.is_empty() {
                    self.in_spool(name, move |spool, name| spool.remove(name, &stamp)).await?;
                    return Ok(Outcome::Imported(report));
                }
                let mut reasons = report.bad;
                if !report.recordings.is_empty() {
                    reasons.push("The other formats were imported.".into());
                }
                self.quarantine(name, stamp, reasons).await
            }
            Err(reasons) => self.quarantine(name, stamp, reasons).await,
        }
    }

    async fn quarantine(
        &self,
        name: &str,
        stamp: Stamp,
        reasons: Vec<String>,
    ) -> Result<Outcome, ImportError> {
        let told = reasons.clone();
        Ok(match self.in_spool(name, move |spool, name| spool.quarantine(name, &stamp, &told)).await? {
            true => Outcome::Quarantined(reasons),
            // Another one is in its place.
            false => Outcome::Growing(stamp, Instant::now()),
        })
    }

    async fn in_spool<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&Spool, &str) -> io::Result<T> + Send + 'static,
    ) -> Result<T, ImportError> {
        let (spool, name) = (self.spool.clone(), name.to_owned());
        let passing = |error| ImportError::Passing(format!("the spool: {error}"));
        run_blocking(move || work(&spool, &name).map_err(passing)).await
    }
}
