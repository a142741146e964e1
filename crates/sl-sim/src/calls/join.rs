//! join, and the page that it redirects browsers to.

use bytes::Bytes;
use hyper::StatusCode;

use super::{ApiRequest, ApiResponse, meeting_id};
use crate::meeting::{Meeting, Person};
use crate::protocol::params::Params;
use crate::protocol::xml::{XmlWriter, escape};
use crate::random::random_word;
use crate::server::Server;
use crate::version::BbbLine;

/// Adds the participant, then redirects to the page, or with `redirect=false` returns XML.
pub(crate) fn join(server: &Server, request: &ApiRequest) -> ApiResponse {
    let id = match meeting_id(request) {
        Ok(id) => id,
        Err(response) => return response,
    };
    let p = &request.params;
    let Some(full_name) = p.non_blank("fullName") else {
        return ApiResponse::failed(
            "missingParamFullName",
            "You must specify a name for the attendee who will be joining the meeting.",
        );
    };
    let now = server.now_ms();
    let mut registry = server.registry();
    let Some(meeting) = registry.meeting(id, now) else {
        return match server.line() {
            BbbLine::V2_4 => ApiResponse::not_found(server),
            _ => ApiResponse::failed(
                "notFound",
                "We could not find a meeting with that meeting ID - perhaps the meeting is not yet \
                 running?",
            ),
        };
    };
    if p.non_blank("createTime").is_some_and(|time| time.parse() != Ok(meeting.created_ms)) {
        return ApiResponse::failed(
            "mismatchCreateTimeParam",
            "The createTime parameter submitted mismatches with the current meeting.",
        );
    }
    let password = p.non_blank("password");
    let moderator = match p.non_blank("role") {
        Some(role) => role.eq_ignore_ascii_case("moderator"),
        None if password == Some(meeting.moderator_pw.as_str()) => true,
        None if password == Some(meeting.attendee_pw.as_str()) => false,
        None => {
            return ApiResponse::failed(
                "invalidPassword",
                "You either did not supply a password or the password supplied is neither the \
                 attendee or moderator password for this conference.",
            );
        }
    };
    if meeting.max_users > 0 && meeting.people.len() >= meeting.max_users as usize {
        return ApiResponse::failed(
            "maxParticipantsReached",
            "The number of participants allowed for this meeting has been reached.",
        );
    }
    let internal_id = format!("w_{}", random_word(12).to_lowercase());
    let session_token = random_word(16).to_lowercase();
    let url = format!(
        "http://{}/html5client/join?sessionToken={session_token}",
        request.host.filter(|host| is_plain_host(host)).unwrap_or(&server.authority),
    );
    let person = Person {
        user_id: p.non_blank("userID").map_or(internal_id.clone(), Into::into),
        internal_id,
        full_name: full_name.into(),
        moderator,
        presenter: moderator && !meeting.people.iter().any(|other| other.presenter),
        listening_only: false,
        voice: false,
        video: false,
        session_token,
        customdata: customdata(p),
    };
    let response = if p.flag("redirect") == Some(false) {
        joined_xml(meeting, &person, &url)
    } else {
        let mut response = ApiResponse::html(StatusCode::FOUND, Bytes::new());
        response.location = Some(url);
        response
    };
    meeting.people.push(person);
    meeting.has_user_joined = true;
    drop(registry);
    server.counters.joined.increment();
    response
}

/// The `userdata-` parameters; the last value of a repeated name counts.
fn customdata(params: &Params) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for (name, value) in params.iter() {
        if let Some(name) = name.strip_prefix("userdata-") {
            found.retain(|(n, _)| n != name);
            found.push((name.to_owned(), value.to_owned()));
        }
    }
    found
}

fn joined_xml(meeting: &Meeting, person: &Person, url: &str) -> ApiResponse {
    let mut xml = XmlWriter::success();
    xml.write_text("messageKey", "successfullyJoined");
    xml.write_text("message", "You have joined successfully.");
    xml.write_text("meeting_id", &meeting.internal_id);
    xml.write_text("user_id", &person.internal_id);
    xml.write_text("auth_token", &random_word(12).to_lowercase());
    xml.write_text("session_token", &person.session_token);
    xml.write_text("guestStatus", "ALLOW");
    xml.write_text("url", url);
    ApiResponse::xml(xml.finish())
}

/// Whether a Host header is safe to copy into a URL.
fn is_plain_host(host: &str) -> bool {
    !host.is_empty()
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']'))
}

/// The page in place of BBB's HTML5 client.
pub(crate) fn client_page(server: &Server, params: &Params) -> ApiResponse {
    let token = params.non_blank("sessionToken").unwrap_or_default();
    let now = server.now_ms();
    let found = server.registry().list_meetings(now).into_iter().find_map(|meeting| {
        let person =
            meeting.people.iter().find(|p| !p.session_token.is_empty() && p.session_token == token)?;
        let role = if person.moderator { "a moderator" } else { "a viewer" };
        Some((
            format!("You joined {}", escape(&meeting.name)),
            format!(
                "You are in <b>{}</b> as <b>{}</b>, {role}, with {} other(s), on server {} ({}).",
                escape(&meeting.name),
                escape(&person.full_name),
                meeting.people.len() - 1,
                server.number,
                escape(&server.authority),
            ),
        ))
    });
    let (status, title, text) = match found {
        Some((title, text)) => (StatusCode::OK, title, text),
        None => (
            StatusCode::NOT_FOUND,
            "No such session".into(),
            format!("Server {} does not know this session, or its meeting has ended.", server.number),
        ),
    };
    ApiResponse::html(
        status,
        Bytes::from(format!(
            "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
             <style>body{{font:1.1rem/1.6 system-ui,sans-serif;max-width:36rem;margin:15vh auto;\
             padding:0 1rem;color:#1a2b45}}small{{color:#667}}</style></head>\
             <body><h1>{title}</h1><p>{text}</p>\
             <p><small>A simulated BigBlueButton server: no sound, no slides, just this page.\
             </small></p></body></html>\n"
        )),
    )
}
