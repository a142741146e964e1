//! Notices archives in the spool as soon as they are complete, where the kernel supports it.

use crate::recordings::spool::{Spool, is_archive};
use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tracing::debug;

/// What inotify reports.
pub(super) enum SpoolEvent {
    /// An archive of this name was created, moved in or closed after writing.
    Arrived(String),
    /// Events were lost: the spool must be listed.
    Overflow,
}

/// Sends events until the watcher is dropped. None where there is no inotify.
pub(super) fn start(spool: &Spool, events: mpsc::UnboundedSender<SpoolEvent>) -> Option<RecommendedWatcher> {
    let report = move |event: notify::Result<notify::Event>| {
        let event = match event {
            Ok(event) if !event.need_rescan() => event,
            _ => return drop(events.send(SpoolEvent::Overflow)),
        };
        let is_arrival = matches!(
            event.kind,
            EventKind::Access(AccessKind::Close(AccessMode::Write))
                | EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both))
                | EventKind::Create(_)
        );
        if is_arrival {
            let names = event.paths.iter().filter_map(|path| path.file_name()?.to_str());
            names
                .filter(|name| is_archive(name))
                .for_each(|name| drop(events.send(SpoolEvent::Arrived(name.to_owned()))));
        }
    };
    notify::recommended_watcher(report)
        .and_then(|mut watcher| {
            watcher.watch(spool.directory(), RecursiveMode::NonRecursive)?;
            Ok(watcher)
        })
        .inspect_err(|error| debug!(%error, "no inotify; the spool is only listed periodically"))
        .ok()
}
