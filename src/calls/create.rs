//! create: puts a meeting on the least loaded server, or finds the server it is on.

use super::{ApiRequest, Call, CallResponse, CallResult};
use crate::app::App;
use crate::bbb::{ApiError, Params, voice_bridge, xml_reader};
use crate::callbacks::params::{store_ready_url, take_ready_url};
use crate::servers::{Payload, ServerCallError, ServerResponse};
use crate::store::{AssignOutcome, Assignment, MeetingKey, Placement, ReassignOutcome, Standing, Why};
use rand::Rng;
use rand::distr::Alphanumeric;
use std::time::{Duration, Instant};
use tokio::time::timeout;
use tracing::{debug, info, warn};

/// How many voice bridges are tried for a new meeting (Scalelite's number).
const VOICE_BRIDGE_TRIES: usize = 10;

/// Servers that refuse at once are not counted as tries; but so many are enough.
const MOST_REFUSALS: usize = 10;

/// A refusal that comes later than this is a try like any other.
const AT_ONCE: Duration = Duration::from_secs(1);

/// A server that does not have a young meeting is asked again after this.
const SECOND_QUESTION: Duration = Duration::from_secs(1);

/// How long a server is asked whether it has a meeting after all.
const ASKING: Duration = Duration::from_secs(5);

/// Takes meetingID and whatever the servers take, slides as XML. Assigns in one step in Redis, sets
/// the parameters that are ours, forwards, and answers with the server's XML. When the server fails,
/// the next least loaded one is tried; when nothing came to be, nothing stays behind.
pub(super) async fn create(app: &App, mut request: ApiRequest) -> CallResult {
    let api = &app.config.api;
    api.create.apply(&mut request.params);
    let meeting = request.meeting_key()?;
    let params = &mut request.params;
    let tag = params.remove("meta_server-tag").unwrap_or_default();
    let ready_url = take_ready_url(params);
    let password = match params.present("moderatorPW") {
        Some(password) => password.to_owned(),
        None => random_password(),
    };
    // With nine digits one is nearly always enough, and Redis reads each that is offered.
    let numbers = voice_bridge::first_two(meeting.as_str(), api.voice_bridge_len);
    let bridges = voice_bridges(app, params, numbers);
    let mut wanted = Assignment {
        meeting: &meeting,
        tag: tag.trim(),
        reserve: app.config.load.reserve(params.get("meta_expected-users")),
        moderator_pw: &password,
        tenant: "",
        any_if_no_untagged: api.untagged_fallback,
        ttl_seconds: app.config.load.meeting_ttl.as_secs(),
        voice_bridges: &bridges,
    };
    let more_bridges: Vec<String>;
    let mut outcome = app.store.assign(&wanted).await?;
    if matches!(outcome, AssignOutcome::NoVoiceBridge) {
        let numbers = voice_bridge::numbers(meeting.as_str(), api.voice_bridge_len);
        more_bridges = voice_bridges(app, params, numbers.take(VOICE_BRIDGE_TRIES));
        wanted.voice_bridges = &more_bridges;
        outcome = app.store.assign(&wanted).await?;
    }
    let (mut at, mut is_new) = placed(outcome)?;
    let mut failover = Failover::new(app);
    if at.standing == Standing::Closed {
        match leave_closed(app, &wanted, &at).await? {
            // It runs there, or its server does not say.
            Left::Stays => failover.stop(),
            Left::Moved(moved, new) => (at, is_new) = (moved, new),
            // Its record went meanwhile.
            Left::Gone => (at, is_new) = placed(app.store.assign(&wanted).await?)?,
        }
    }
    if is_new {
        debug!(meeting = meeting.as_str(), server = at.server.id, "a new meeting");
    }
    loop {
        if is_new && request.params.present("moderatorPW").is_none() {
            request.params.set("moderatorPW", at.moderator_pw.as_str());
        }
        ours(app, &mut request.params, &at);
        let begun = Instant::now();
        let failure = match app.servers.call(&at.server, "create", &request.params, request.payload()).await {
            Ok(reply) => {
                // Before the client knows of the meeting: what it does not hear of, it asks for again.
                if let Some(url) = ready_url.filter(|_| reply.envelope.success)
                    && let Some(recordings) = &app.recordings
                {
                    store_ready_url(&app.store, recordings.index.db(), &meeting, &url, &reply.body).await;
                }
                return Ok(answered(app, &wanted, &at, is_new, reply).await);
            }
            Err(failure) => failure,
        };
        let error = app.report_failure(Call::Create, &at.server, &failure);
        // What was sent may have been carried out; its answer is what was lost.
        let has = match failure.never_sent() {
            true => Has::No,
            false => has_meeting(app, &meeting, &at).await,
        };
        if has == Has::Yes {
            if failover.asks_again(&at) {
                continue;
            }
            return Err(error);
        }
        if failover.goes_on(&at, &failure, begun.elapsed()) {
            match app.store.reassign(&wanted, &at.server.id, Why::Failed, &failover.tried).await? {
                ReassignOutcome::Moved(moved) => {
                    info!(meeting = meeting.as_str(), from = at.server.id, to = moved.server.id, "moved");
                    (at, is_new) = (moved, true);
                    continue;
                }
                // Another create of this meeting has moved it.
                ReassignOutcome::Existing(moved) => {
                    (at, is_new) = (moved, false);
                    continue;
                }
                ReassignOutcome::NoServer
                | ReassignOutcome::TagUnavailable(_)
                | ReassignOutcome::Kept
                | ReassignOutcome::Unknown => {}
            }
        }
        withdraw(app, &meeting, &at).await;
        return Err(error);
    }
}

/// Where it is recorded, and whether since now.
fn placed(outcome: AssignOutcome) -> Result<(Placement, bool), ApiError> {
    match outcome {
        AssignOutcome::Assigned(at) => Ok((at, true)),
        AssignOutcome::Existing(at) => Ok((at, false)),
        AssignOutcome::NoServer => Err(ApiError::NoServers),
        AssignOutcome::TagUnavailable(tag) => Err(ApiError::TagUnavailable(tag)),
        AssignOutcome::NoVoiceBridge => Err(ApiError::NoVoiceBridge),
    }
}

/// What becomes of a meeting that is recorded on a cordoned or disabled server.
enum Left {
    Stays,
    /// It runs elsewhere; whether since now.
    Moved(Placement, bool),
    Gone,
}

/// A meeting stays on a server that takes no new ones for as long as it runs there.
async fn leave_closed(app: &App, wanted: &Assignment<'_>, at: &Placement) -> Result<Left, ApiError> {
    let mut why = Why::Stale;
    loop {
        // One that does not say counts as running it.
        if has_meeting(app, wanted.meeting, at).await != Has::No {
            return Ok(Left::Stays);
        }
        return match app.store.reassign(wanted, &at.server.id, why, &[]).await? {
            ReassignOutcome::Moved(moved) => Ok(Left::Moved(moved, true)),
            ReassignOutcome::Existing(moved) => Ok(Left::Moved(moved, false)),
            ReassignOutcome::NoServer => Err(ApiError::NoServers),
            ReassignOutcome::TagUnavailable(tag) => Err(ApiError::TagUnavailable(tag)),
            // Its first create may be on its way there.
            ReassignOutcome::Kept if why == Why::Stale => {
                why = Why::Gone;
                tokio::time::sleep(SECOND_QUESTION).await;
                continue;
            }
            ReassignOutcome::Kept => Ok(Left::Stays),
            ReassignOutcome::Unknown => Ok(Left::Gone),
        };
    }
}

/// Which servers a create has tried, and how many more it may.
struct Failover {
    tried: Vec<String>,
    /// CREATE_FAILOVER_TRIES, less those made.
    tries: usize,
    refusals: usize,
    asked_again: Option<String>,
}

impl Failover {
    fn new(app: &App) -> Failover {
        let tries = app.config.api.failover_tries;
        let refusals = if tries == 0 { 0 } else { MOST_REFUSALS };
        Failover { tried: Vec::new(), tries, refusals, asked_again: None }
    }

    /// No other server is to be tried.
    fn stop(&mut self) {
        (self.tries, self.refusals) = (0, 0);
    }

    /// A server that has the meeting, but whose answer was lost, is asked once more: it answers that
    /// it has it.
    fn asks_again(&mut self, at: &Placement) -> bool {
        let again = self.asked_again.as_deref() != Some(&at.server.id);
        self.asked_again = Some(at.server.id.clone());
        again
    }

    /// Whether another server is to be tried. A server that refuses at once costs the client nothing,
    /// and is not counted.
    fn goes_on(&mut self, at: &Placement, failure: &ServerCallError, took: Duration) -> bool {
        if matches!(failure, ServerCallError::Url) {
            return false;
        }
        self.tried.push(at.server.id.clone());
        let left = if failure.never_sent() && took < AT_ONCE { &mut self.refusals } else { &mut self.tries };
        let goes_on = *left > 0;
        *left = left.saturating_sub(1);
        goes_on
    }
}

/// The server's answer, which is the client's; and what it says of the record.
async fn answered(
    app: &App,
    wanted: &Assignment<'_>,
    at: &Placement,
    is_new: bool,
    reply: ServerResponse,
) -> CallResponse {
    let made = reply.envelope.success && reply.envelope.message_key != "duplicateWarning";
    if !reply.envelope.success {
        if has_meeting(app, wanted.meeting, at).await != Has::Yes {
            withdraw(app, wanted.meeting, at).await;
        }
    } else if !is_new && made {
        recreated(app, wanted, at, &reply.body).await;
    }
    CallResponse::Xml(reply.body)
}

/// The numbers to try: the client's own where it is wanted, then those of the meeting's id.
fn voice_bridges(app: &App, params: &Params, numbers: impl IntoIterator<Item = String>) -> Vec<String> {
    let external = params
        .present("voiceBridge")
        .filter(|number| app.config.api.external_voice_bridge && voice_bridge::is_number(number))
        .map(str::to_owned);
    external.into_iter().chain(numbers).collect()
}

/// Sets what is the balancer's to say.
fn ours(app: &App, params: &mut Params, at: &Placement) {
    let api = &app.config.api;
    if !at.voice_bridge.is_empty() {
        params.set("voiceBridge", at.voice_bridge.as_str());
    }
    // A server that was tried before may have had another.
    params.remove("meta_server-tag");
    if !at.tag.is_empty() {
        params.set("meta_server-tag", at.tag.as_str());
    }
    if let Some(longest) = api.max_meeting_duration {
        let wanted = params.get("duration").and_then(|minutes| minutes.trim().parse::<u32>().ok());
        if wanted.is_none_or(|minutes| minutes == 0 || minutes > longest) {
            params.set("duration", longest.to_string());
        }
    }
    api.create.strip(params);
}

/// What a server says when it is asked whether it has a meeting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Has {
    Yes,
    No,
    /// It does not say.
    Unknown,
}

async fn has_meeting(app: &App, meeting: &MeetingKey, at: &Placement) -> Has {
    let mut ask = Params::default();
    ask.set("meetingID", meeting.as_str());
    let asking = app.servers.call(&at.server, "getMeetingInfo", &ask, Payload::None);
    match timeout(ASKING, asking).await {
        Ok(Ok(reply)) if reply.envelope.success => Has::Yes,
        Ok(Ok(reply)) if reply.envelope.message_key == "notFound" => Has::No,
        _ => Has::Unknown,
    }
}

/// A create has failed: the record goes, unless another create counts on it or people may be in it.
async fn withdraw(app: &App, meeting: &MeetingKey, at: &Placement) {
    if let Err(error) = app.store.withdraw(meeting, &at.server.id).await {
        warn!(meeting = meeting.as_str(), %error, "a meeting that was not created could not be released");
    }
}

/// The record was there before, but only now the meeting is: it had ended there, or a create that was
/// begun before did not come through, and noted a password that its server never heard of.
async fn recreated(app: &App, wanted: &Assignment<'_>, at: &Placement, body: &[u8]) {
    let password = xml_reader::read_field(body, "moderatorPW").unwrap_or_default();
    let (meeting, reserve) = (wanted.meeting, wanted.reserve);
    if let Err(error) = app.store.recreated(meeting, &at.server.id, &password, reserve).await {
        warn!(meeting = meeting.as_str(), %error, "a meeting that was made anew could not be noted");
    }
}

/// Eight random letters and digits, as Scalelite makes them.
fn random_password() -> String {
    rand::rng().sample_iter(Alphanumeric).take(8).map(char::from).collect()
}
