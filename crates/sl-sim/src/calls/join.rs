//! join: who may enter, as what, and the page that awaits them.

use bytes::Bytes;
use hyper::StatusCode;

use super::{Answer, Ask, meeting_id, random_word};
use crate::meeting::Person;
use crate::protocol::params::Params;
use crate::protocol::xml::{Xml, escape};
use crate::server::Server;

/// The call itself: adds the person, then sends the browser on.
pub(crate) fn join(server: &Server, ask: &Ask) -> Answer {
    let id = match meeting_id(ask) {
        Ok(id) => id,
        Err(answer) => return answer,
    };
    let p = &ask.params;
    let Some(full_name) = p.filled("fullName") else {
        return Answer::failed(
            "missingParamFullName",
            "You must specify a name for the attendee who will be joining the meeting.",
        );
    };
    let now = server.now_ms();
    let mut book = server.book();
    let Some(meeting) = book.get(id, now) else {
        return Answer::failed(
            "notFound",
            "We could not find a meeting with that meeting ID - perhaps the meeting is not yet \
             running?",
        );
    };
    if p.filled("createTime").is_some_and(|time| time.parse() != Ok(meeting.created_ms)) {
        return Answer::failed(
            "mismatchCreateTimeParam",
            "The createTime parameter submitted mismatches with the current meeting.",
        );
    }
    let password = p.filled("password");
    let moderator = match p.filled("role") {
        Some(role) => role.eq_ignore_ascii_case("moderator"),
        None if password == Some(meeting.moderator_pw.as_str()) => true,
        None if password == Some(meeting.attendee_pw.as_str()) => false,
        None => {
            return Answer::failed(
                "invalidPassword",
                "You either did not supply a password or the password supplied is neither the \
                 attendee or moderator password for this conference.",
            );
        }
    };
    if meeting.max_users > 0 && meeting.people.len() >= meeting.max_users as usize {
        return Answer::failed(
            "maxParticipantsReached",
            "The number of participants allowed for this meeting has been reached.",
        );
    }
    let internal_id = format!("w_{}", random_word(12).to_lowercase());
    let session_token = random_word(16).to_lowercase();
    let url = format!(
        "http://{}/html5client/join?sessionToken={session_token}",
        ask.host.filter(|host| plain_host(host)).unwrap_or(&server.authority),
    );
    let person = Person {
        user_id: p.filled("userID").map_or(internal_id.clone(), Into::into),
        internal_id,
        full_name: full_name.into(),
        moderator,
        presenter: moderator && !meeting.people.iter().any(|other| other.presenter),
        listening_only: false,
        voice: false,
        video: false,
        session_token,
    };
    let answer = if p.flag("redirect") == Some(false) {
        let mut xml = Xml::success();
        xml.el("messageKey", "successfullyJoined");
        xml.el("message", "You have joined successfully.");
        xml.el("meeting_id", &meeting.internal_id);
        xml.el("user_id", &person.internal_id);
        xml.el("auth_token", &random_word(12).to_lowercase());
        xml.el("session_token", &person.session_token);
        xml.el("guestStatus", "ALLOW");
        xml.el("url", &url);
        Answer::xml(xml.end())
    } else {
        let mut answer = Answer::html(StatusCode::FOUND, Bytes::new());
        answer.location = Some(url);
        answer
    };
    meeting.people.push(person);
    meeting.has_user_joined = true;
    drop(book);
    server.tally.joined.one();
    answer
}

/// Whether a Host header may stand in a URL of ours.
fn plain_host(host: &str) -> bool {
    !host.is_empty()
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']'))
}

/// The page that stands for BBB's HTML5 client.
pub(crate) fn page(server: &Server, params: &Params) -> Answer {
    let token = params.filled("sessionToken").unwrap_or_default();
    let now = server.now_ms();
    let found = server.book().list(now).into_iter().find_map(|meeting| {
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
                server.n,
                escape(&server.authority),
            ),
        ))
    });
    let (status, title, text) = match found {
        Some((title, text)) => (StatusCode::OK, title, text),
        None => (
            StatusCode::NOT_FOUND,
            "No such session".into(),
            format!("This session is unknown on server {}, or its meeting has ended.", server.n),
        ),
    };
    Answer::html(
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
