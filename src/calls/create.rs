//! create: puts a meeting on the least loaded server, or finds the server it is on.

use super::{Answer, ApiRequest, App, Call, CallResult, refused};
use crate::bbb::{ApiError, Params, voice_bridge, xml};
use crate::pool::{BackendError, Payload};
use crate::store::{AssignOutcome, Assignment, MeetingKey, Placement};
use rand::Rng;
use rand::distr::Alphanumeric;
use tracing::{debug, warn};

/// How many voice bridges are tried for a new meeting (Scalelite's number).
const VOICE_BRIDGE_TRIES: usize = 10;

/// Takes meetingID and whatever the servers take, slides as XML. Assigns in one step in Redis, sets
/// the parameters that are ours, forwards, and answers with the server's XML. When nothing came to
/// be, nothing stays behind.
pub(super) async fn create(app: &App, mut request: ApiRequest) -> CallResult {
    let api = &app.config.api;
    api.create.apply(&mut request.params);
    let meeting = request.meeting()?;
    let params = &mut request.params;
    let tag = params.remove("meta_server-tag").unwrap_or_default();
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
        reserve: app.config.load.min_users,
        moderator_pw: &password,
        tenant: "",
        any_if_no_untagged: api.untagged_fallback,
        ttl_seconds: app.config.load.meeting_ttl.as_secs(),
        voice_bridges: &bridges,
    };
    let mut outcome = app.store.assign(&wanted).await?;
    if matches!(outcome, AssignOutcome::NoVoiceBridge) {
        let numbers = voice_bridge::numbers(meeting.as_str(), api.voice_bridge_len);
        let bridges = voice_bridges(app, params, numbers.take(VOICE_BRIDGE_TRIES));
        wanted.voice_bridges = &bridges;
        outcome = app.store.assign(&wanted).await?;
    }
    let (at, is_new) = match outcome {
        AssignOutcome::Assigned(at) => (at, true),
        AssignOutcome::Existing(at) => (at, false),
        AssignOutcome::NoServer => return Err(ApiError::NoServers),
        AssignOutcome::TagUnavailable(tag) => return Err(ApiError::TagUnavailable(tag)),
        AssignOutcome::NoVoiceBridge => return Err(ApiError::NoVoiceBridge),
    };
    if is_new {
        debug!(meeting = meeting.as_str(), server = at.server.id, "a new meeting");
        if params.present("moderatorPW").is_none() {
            params.set("moderatorPW", password);
        }
    }
    ours(app, params, &at);
    match app.backend.call(&at.server, "create", &request.params, request.payload()).await {
        Ok(reply) => {
            if is_new && !reply.envelope.success {
                withdraw(app, &meeting, &at, None).await;
            }
            if !is_new && reply.envelope.success && reply.envelope.message_key != "duplicateWarning" {
                correct_password(app, &meeting, &at, &reply.body).await;
            }
            Ok(Answer::Xml(reply.body))
        }
        Err(failure) => {
            let error = refused(Call::Create, &at.server, &failure);
            if is_new {
                withdraw(app, &meeting, &at, Some(&failure)).await;
            }
            Err(error)
        }
    }
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

/// A new meeting was not created. Unless the server has it after all, its record goes.
async fn withdraw(app: &App, meeting: &MeetingKey, at: &Placement, failure: Option<&BackendError>) {
    if !failure.is_some_and(BackendError::never_sent) {
        let mut ask = Params::default();
        ask.set("meetingID", meeting.as_str());
        match app.backend.call(&at.server, "getMeetingInfo", &ask, Payload::None).await {
            Ok(reply) if reply.envelope.success => return,
            _ => {}
        }
    }
    let recorded = Some((at.server.id.as_str(), at.generation.as_str()));
    if let Err(error) = app.store.release(meeting, recorded).await {
        warn!(meeting = meeting.as_str(), %error, "a meeting that was not created could not be released");
    }
}

/// The record was there before, but only now the meeting is: a create that was begun before did not
/// come through, and noted a password that its server never heard of.
async fn correct_password(app: &App, meeting: &MeetingKey, at: &Placement, body: &[u8]) {
    let Some(password) = xml::field(body, "moderatorPW").filter(|p| *p != at.moderator_pw) else { return };
    if let Err(error) = app.store.set_password(meeting, &at.server.id, &password).await {
        warn!(meeting = meeting.as_str(), %error, "a meeting's moderator password could not be noted");
    }
}

/// Eight random letters and digits, as Scalelite makes them.
fn random_password() -> String {
    rand::rng().sample_iter(Alphanumeric).take(8).map(char::from).collect()
}
