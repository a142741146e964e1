//! Parameters of a create that belong to the balancer.

use crate::app::App;
use crate::bbb::{Params, voice_bridge};
use crate::store::marks::MARK_PARAM;
use crate::store::{MeetingKey, Placement};
use rand::Rng;
use rand::distr::Alphanumeric;

/// How many voice bridges are tried for a new meeting (Scalelite's number).
const MAX_VOICE_BRIDGES: usize = 10;

/// The client's own voice bridge where USE_EXTERNAL_VOICE_BRIDGE allows it, then the first two derived from the meeting id. With
/// nine digits one is nearly always free, and Redis reads each that is offered.
pub(super) fn first_voice_bridges(app: &App, params: &Params, meeting: &MeetingKey) -> Vec<String> {
    let numbers = voice_bridge::first_two(meeting.as_str(), app.config.api.voice_bridge_len);
    with_external(app, params, numbers)
}

/// The same with all numbers that are tried.
pub(super) fn all_voice_bridges(app: &App, params: &Params, meeting: &MeetingKey) -> Vec<String> {
    let numbers = voice_bridge::numbers(meeting.as_str(), app.config.api.voice_bridge_len);
    with_external(app, params, numbers.take(MAX_VOICE_BRIDGES))
}

fn with_external(app: &App, params: &Params, numbers: impl IntoIterator<Item = String>) -> Vec<String> {
    let external = params
        .present("voiceBridge")
        .filter(|number| app.config.api.external_voice_bridge && voice_bridge::is_number(number))
        .map(str::to_owned);
    external.into_iter().chain(numbers).collect()
}

/// Sets and removes what the balancer decides for a meeting on this server.
pub(super) fn apply_balancer_params(
    app: &App,
    params: &mut Params,
    placement: &Placement,
    is_new: bool,
    mark: String,
) {
    let api = &app.config.api;
    if is_new && params.present("moderatorPW").is_none() {
        params.set("moderatorPW", placement.moderator_pw.as_str());
    }
    if !placement.voice_bridge.is_empty() {
        params.set("voiceBridge", placement.voice_bridge.as_str());
    }
    // A server that was tried before may have had another tag.
    params.remove("meta_server-tag");
    if !placement.tag.is_empty() {
        params.set("meta_server-tag", placement.tag.as_str());
    }
    params.set(MARK_PARAM, mark);
    if let Some(max_minutes) = api.max_meeting_duration {
        let requested = params.get("duration").and_then(|minutes| minutes.trim().parse::<u32>().ok());
        if requested.is_none_or(|minutes| minutes == 0 || minutes > max_minutes) {
            params.set("duration", max_minutes.to_string());
        }
    }
    api.create.strip(params);
}

/// Eight random letters and digits, as Scalelite makes them.
pub(super) fn random_password() -> String {
    rand::rng().sample_iter(Alphanumeric).take(8).map(char::from).collect()
}
