//! Chooses another server for a create: when the recorded one takes no new meetings, and when one failed.

use super::Placed;
use crate::app::App;
use crate::bbb::{ApiError, Params};
use crate::servers::{Payload, ServerCallError};
use crate::store::{Assignment, MeetingKey, Placement, ReassignOutcome, ReassignReason};
use crate::telemetry::permit_log;
use std::time::Duration;
use tokio::time::timeout;
use tracing::{info, warn};

/// Fast refusals do not count as tries; this many are enough all the same.
const MAX_FAST_REFUSALS: usize = 10;

/// A refusal that takes longer than this counts as a try.
const FAST_REFUSAL: Duration = Duration::from_secs(1);

/// A server that does not have a young meeting is queried again after this.
const REQUERY_DELAY: Duration = Duration::from_secs(1);

/// Timeout of the query whether a server has a meeting after all.
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);

/// Servers that a create has tried, and how many more it may try.
pub(super) struct Failover {
    tried: Vec<String>,
    /// Those of them that the create was sent to.
    failed_on: Vec<String>,
    /// CREATE_FAILOVER_TRIES, less those used.
    tries_left: usize,
    fast_refusals_left: usize,
    /// The server that the create was last sent to a second time.
    resent_to: Option<String>,
}

impl Failover {
    pub(super) fn new(app: &App) -> Failover {
        let tries_left = app.config.api.failover_tries;
        let fast_refusals_left = if tries_left == 0 { 0 } else { MAX_FAST_REFUSALS };
        Failover { tried: Vec::new(), failed_on: Vec::new(), tries_left, fast_refusals_left, resent_to: None }
    }

    /// Allows no other server.
    pub(super) fn disable(&mut self) {
        (self.tries_left, self.fast_refusals_left) = (0, 0);
    }

    /// Where to send the create after it failed on `placed`. None if the client gets the error; then
    /// the record is withdrawn, unless the meeting was created.
    pub(super) async fn next_placement(
        &mut self,
        app: &App,
        wanted: &Assignment<'_>,
        placed: &Placed,
        failure: &ServerCallError,
        took: Duration,
    ) -> Result<Option<Placed>, ApiError> {
        let from = &placed.placement;
        // Nothing was sent, which says nothing about a meeting that was created there before.
        if matches!(failure, ServerCallError::Busy) && !placed.is_new {
            return Ok(None);
        }
        // The server may have carried out what was sent, and only its response was lost.
        let presence = match failure.never_sent() {
            true => MeetingPresence::Absent,
            false => query_presence(app, wanted.meeting, from).await,
        };
        if presence == MeetingPresence::Present {
            return Ok(self.may_resend(from).then(|| placed.clone()));
        }
        if let Some(reason) = self.may_try_another(from, failure, took) {
            match app.store.reassign(wanted, &from.server.id, reason, &self.tried).await? {
                ReassignOutcome::Moved(to) => {
                    let (meeting, from, to_id) = (wanted.meeting.as_str(), &from.server.id, &to.server.id);
                    info!(meeting, from, to = to_id, "create moved to another server");
                    return Ok(Some(Placed { placement: to, is_new: true }));
                }
                // Another create of this meeting has moved it.
                ReassignOutcome::Existing(to) => return Ok(Some(Placed { placement: to, is_new: false })),
                // A poll or a join has found the meeting there since the server was queried.
                ReassignOutcome::Kept
                    if query_presence(app, wanted.meeting, from).await == MeetingPresence::Present =>
                {
                    return Ok(self.may_resend(from).then(|| placed.clone()));
                }
                ReassignOutcome::NoServer
                | ReassignOutcome::TagUnavailable(_)
                | ReassignOutcome::Kept
                | ReassignOutcome::Spent
                | ReassignOutcome::Unknown => {}
            }
        }
        withdraw_record(app, wanted.meeting, from, &self.failed_on).await;
        Ok(None)
    }

    /// A server that has the meeting, but whose response was lost, gets the create once more: it responds
    /// that it has it.
    fn may_resend(&mut self, to: &Placement) -> bool {
        let is_first = self.resent_to.as_deref() != Some(&to.server.id);
        self.resent_to = Some(to.server.id.clone());
        is_first
    }

    /// Why the create moves to another server; None if it may try no other. A fast refusal costs the client
    /// nothing, and does not count as a try.
    fn may_try_another(
        &mut self,
        failed: &Placement,
        failure: &ServerCallError,
        took: Duration,
    ) -> Option<ReassignReason> {
        if matches!(failure, ServerCallError::Url) {
            return None;
        }
        self.tried.push(failed.server.id.clone());
        if !failure.never_sent() {
            self.failed_on.push(failed.server.id.clone());
        }
        let is_fast_refusal = failure.never_sent() && took < FAST_REFUSAL;
        let left = if is_fast_refusal { &mut self.fast_refusals_left } else { &mut self.tries_left };
        let tries_left = *left;
        *left = left.saturating_sub(1);
        let reason = match failure {
            ServerCallError::Busy => ReassignReason::Busy,
            _ if failure.never_sent() => ReassignReason::Unreachable,
            _ => ReassignReason::Failed { tries_left },
        };
        (tries_left > 0).then_some(reason)
    }
}

/// Outcome of [`move_off_closed_server`].
pub(super) enum Relocation {
    /// It runs there, or its server gave no clear response.
    Stays,
    /// It is recorded on another server now.
    Moved(Placed),
    /// Its record was deleted meanwhile.
    RecordGone,
}

/// Moves a meeting off a cordoned or disabled server, unless it runs there.
pub(super) async fn move_off_closed_server(
    app: &App,
    wanted: &Assignment<'_>,
    from: &Placement,
) -> Result<Relocation, ApiError> {
    let mut reason = ReassignReason::Stale;
    loop {
        // Without a clear response it counts as running.
        if query_presence(app, wanted.meeting, from).await != MeetingPresence::Absent {
            return Ok(Relocation::Stays);
        }
        return match app.store.reassign(wanted, &from.server.id, reason, &[]).await? {
            ReassignOutcome::Moved(to) => Ok(Relocation::Moved(Placed { placement: to, is_new: true })),
            ReassignOutcome::Existing(to) => Ok(Relocation::Moved(Placed { placement: to, is_new: false })),
            ReassignOutcome::NoServer => Err(ApiError::NoServers),
            ReassignOutcome::TagUnavailable(tag) => Err(ApiError::TagUnavailable(tag)),
            // Its first create may be on its way there.
            ReassignOutcome::Kept if reason == ReassignReason::Stale => {
                reason = ReassignReason::Gone;
                tokio::time::sleep(REQUERY_DELAY).await;
                continue;
            }
            ReassignOutcome::Kept | ReassignOutcome::Spent => Ok(Relocation::Stays),
            ReassignOutcome::Unknown => Ok(Relocation::RecordGone),
        };
    }
}

/// Whether a server has a meeting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MeetingPresence {
    Present,
    Absent,
    /// The server gave no clear response.
    Unknown,
}

/// Asks a server whether it has a meeting.
pub(super) async fn query_presence(app: &App, meeting: &MeetingKey, at: &Placement) -> MeetingPresence {
    let mut params = Params::default();
    params.set("meetingID", meeting.as_str());
    let query = app.servers.call(&at.server, "getMeetingInfo", &params, Payload::None);
    match timeout(QUERY_TIMEOUT, query).await {
        Ok(Ok(reply)) if reply.envelope.success => MeetingPresence::Present,
        Ok(Ok(reply)) if reply.envelope.is_not_found() => MeetingPresence::Absent,
        _ => MeetingPresence::Unknown,
    }
}

/// Deletes the record of a meeting whose create failed, unless another create counts on it or participants
/// may be in it.
pub(super) async fn withdraw_record(app: &App, meeting: &MeetingKey, at: &Placement, failed_on: &[String]) {
    if let Err(error) = app.store.withdraw(meeting, &at.server.id, failed_on).await
        && let Some(permit) = permit_log("Redis", "release")
    {
        let (meeting, suppressed) = (meeting.as_str(), permit.suppressed);
        warn!(meeting, %error, suppressed, "could not release a meeting whose create failed");
    }
}
