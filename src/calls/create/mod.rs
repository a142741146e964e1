//! create: puts a meeting on the least loaded server, or finds the server it is on. A breakout room is put on the server of
//! its parent.

mod ask;
mod failover;
mod params;

use self::ask::adopt_from_servers;
use self::failover::{
    Failover, MeetingPresence, Relocation, move_off_closed_server, query_presence, withdraw_record,
};
use self::params::{all_voice_bridges, apply_balancer_params, first_voice_bridges, random_password};
use super::{ApiRequest, Call, CallResponse, CallResult};
use crate::app::App;
use crate::bbb::{ApiError, xml_reader};
use crate::callbacks::params::{store_ready_url, take_ready_url};
use crate::servers::ServerResponse;
use crate::store::marks::MARK_PARAM;
use crate::store::{AssignOutcome, Assignment, MeetingKey, Placement, ServerAvailability};
use crate::telemetry::permit_log;
use std::time::Instant;
use tracing::{debug, warn};

/// Where a meeting is recorded.
#[derive(Clone)]
struct Placed {
    placement: Placement,
    /// This request recorded it there.
    is_new: bool,
}

/// Takes meetingID and every parameter that the servers take; slides as XML. Assigns a server in one step
/// in Redis, sets the balancer's own parameters, forwards, and returns the server's XML. When the server
/// fails, tries the next least loaded one. If no meeting was created, no record is left.
pub(super) async fn create(app: &App, mut request: ApiRequest) -> CallResult {
    let api = &app.config.api;
    api.create.apply(&mut request.params);
    let meeting = request.meeting_key()?;
    let parent = parent_of_breakout(&mut request)?;
    let server_tag = request.params.remove_any_case("meta_server-tag").unwrap_or_default();
    request.params.remove_any_case(MARK_PARAM);
    let ready_url = take_ready_url(&mut request.params);
    let password = request.params.present("moderatorPW").map_or_else(random_password, str::to_owned);
    let first_bridges = first_voice_bridges(app, &request.params, &meeting);
    let all_bridges;
    let mut wanted = Assignment {
        meeting: &meeting,
        tag: server_tag.trim(),
        reserve: app.config.load.reserve(request.params.get("meta_expected-users")),
        moderator_pw: &password,
        tenant: "",
        any_if_no_untagged: api.untagged_fallback,
        asked: false,
        ttl_seconds: app.config.load.meeting_ttl.as_secs(),
        voice_bridges: &first_bridges,
    };
    // Cached; read first, since it is here that a replica notices when Redis has lost its data.
    let mark_key = app.store.mark_key().await?;
    let mut outcome = assign(app, &wanted, parent.as_ref()).await?;
    if matches!(outcome, AssignOutcome::Ask) {
        Box::pin(adopt_from_servers(app, &meeting)).await?;
        wanted.asked = true;
        outcome = assign(app, &wanted, parent.as_ref()).await?;
    }
    if matches!(outcome, AssignOutcome::NoVoiceBridge) {
        all_bridges = all_voice_bridges(app, &request.params, &meeting);
        wanted.voice_bridges = &all_bridges;
        outcome = assign(app, &wanted, parent.as_ref()).await?;
    }
    let mut placed = Placed::from_outcome(outcome)?;
    let mut failover = Failover::new(app);
    if parent.is_some() {
        failover.disable();
    } else if placed.placement.availability == ServerAvailability::Closed {
        match move_off_closed_server(app, &wanted, &placed.placement).await? {
            Relocation::Stays => failover.disable(),
            Relocation::Moved(to) => placed = to,
            Relocation::RecordGone => {
                // It ran on a known server, and has ended there.
                wanted.asked = true;
                placed = Placed::from_outcome(app.store.assign(&wanted).await?)?;
            }
        }
    }
    if placed.is_new {
        debug!(meeting = meeting.as_str(), server = placed.placement.server.id, "new meeting assigned");
    }
    loop {
        let Placed { placement, is_new } = &placed;
        let mark = mark_key.sign(&meeting, &placement.server.id);
        apply_balancer_params(app, &mut request.params, placement, *is_new, mark);
        let started = Instant::now();
        match app.servers.call(&placement.server, "create", &request.params, request.payload()).await {
            Ok(reply) => return Ok(finish_create(app, &wanted, &placed, ready_url, reply).await),
            Err(failure) => {
                let error = app.report_failure(Call::Create, &placement.server, &failure);
                let took = started.elapsed();
                let next = failover.next_placement(app, &wanted, &placed, &failure, took).await?;
                placed = next.ok_or(error)?;
            }
        }
    }
}

/// Of a breakout room, its parent.
fn parent_of_breakout(request: &mut ApiRequest) -> Result<Option<MeetingKey>, ApiError> {
    // As Java's parseBoolean.
    if !request.params.get("isBreakout").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    let parent = request.trim_id("parentMeetingID").ok_or(ApiError::MissingParentMeeting)?;
    let sequence = request.params.get("sequence").and_then(|number| number.parse::<i32>().ok());
    sequence.ok_or(ApiError::InvalidSequence)?;
    Ok(Some(parent))
}

/// Chooses the server: one round trip.
async fn assign(
    app: &App,
    wanted: &Assignment<'_>,
    parent: Option<&MeetingKey>,
) -> Result<AssignOutcome, ApiError> {
    Ok(match parent {
        None => app.store.assign(wanted).await?,
        // Boxed: rare, and the future of every create is as large as the larger of the two.
        Some(parent) => Box::pin(app.store.assign_breakout(wanted, parent)).await?,
    })
}

impl Placed {
    fn from_outcome(outcome: AssignOutcome) -> Result<Placed, ApiError> {
        match outcome {
            AssignOutcome::Assigned(placement) => Ok(Placed { placement, is_new: true }),
            AssignOutcome::Existing(placement) => Ok(Placed { placement, is_new: false }),
            // Not returned to a caller that has asked.
            AssignOutcome::Ask | AssignOutcome::NoServer => Err(ApiError::NoServers),
            AssignOutcome::TagUnavailable(tag) => Err(ApiError::TagUnavailable(tag)),
            AssignOutcome::NoVoiceBridge => Err(ApiError::NoVoiceBridge),
            AssignOutcome::NoParent => Err(ApiError::ParentMeetingNotFound),
        }
    }
}

/// Brings the records in line with the server's response, and passes it on.
async fn finish_create(
    app: &App,
    wanted: &Assignment<'_>,
    placed: &Placed,
    ready_url: Option<String>,
    reply: ServerResponse,
) -> CallResponse {
    let Placed { placement, is_new } = placed;
    let envelope = &reply.envelope;
    if !envelope.success {
        if query_presence(app, wanted.meeting, placement).await != MeetingPresence::Present {
            withdraw_record(app, wanted.meeting, placement, &[]).await;
        }
        return CallResponse::Xml(reply.body);
    }
    // Stored before the client learns of the meeting: a client that gets no response creates again.
    if let (Some(url), Some(recordings)) = (ready_url, &app.recordings) {
        store_ready_url(&app.store, recordings.index.db(), wanted.meeting, &url, &reply.body).await;
    }
    if !is_new && envelope.message_key != "duplicateWarning" {
        record_recreation(app, wanted, placement, &reply.body).await;
    }
    CallResponse::Xml(reply.body)
}

/// The record existed, but the server made the meeting only now: it had ended there, or an earlier create
/// did not get through and recorded a password that its server never saw.
async fn record_recreation(app: &App, wanted: &Assignment<'_>, at: &Placement, body: &[u8]) {
    let password = xml_reader::read_field(body, "moderatorPW").unwrap_or_default();
    let (meeting, reserve) = (wanted.meeting, wanted.reserve);
    if let Err(error) = app.store.recreated(meeting, &at.server.id, &password, reserve).await
        && let Some(permit) = permit_log("Redis", "recreated")
    {
        let (meeting, suppressed) = (meeting.as_str(), permit.suppressed);
        warn!(meeting, %error, suppressed, "could not record that a meeting was created again");
    }
}
