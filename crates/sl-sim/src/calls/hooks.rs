//! The webhook calls: registered and listed, never called back.

use super::{Answer, Ask};
use crate::protocol::xml::Xml;
use crate::server::Server;

/// A webhook that somebody registered.
#[derive(Clone)]
pub(crate) struct Hook {
    pub(crate) id: u32,
    pub(crate) url: String,
    pub(crate) meeting: Option<String>,
    pub(crate) raw: bool,
}

pub(crate) fn create(server: &Server, ask: &Ask) -> Answer {
    let Some(url) = ask.params.filled("callbackURL") else {
        return Answer::failed(
            "missingParamCallbackURL",
            "You must specify a callbackURL in the parameters.",
        );
    };
    let meeting = ask.params.filled("meetingID");
    let mut xml = Xml::success();
    let mut book = server.book();
    if let Some(hook) = book.hooks.iter().find(|hook| hook.url == url && hook.meeting.as_deref() == meeting) {
        xml.val("hookID", hook.id);
        xml.el("messageKey", "duplicateWarning");
        xml.el("message", "There is already a hook for this callback URL.");
        return Answer::xml(xml.end());
    }
    book.last_hook += 1;
    let hook = Hook {
        id: book.last_hook,
        url: url.into(),
        meeting: meeting.map(Into::into),
        raw: ask.params.flag("getRaw").unwrap_or(false),
    };
    xml.val("hookID", hook.id);
    xml.val("permanentHook", false);
    xml.val("rawData", hook.raw);
    book.hooks.push(hook);
    Answer::xml(xml.end())
}

pub(crate) fn destroy(server: &Server, ask: &Ask) -> Answer {
    let Some(id) = ask.params.filled("hookID") else {
        return Answer::failed("missingParamHookID", "You must specify a hookID in the parameters.");
    };
    let mut book = server.book();
    let before = book.hooks.len();
    book.hooks.retain(|hook| hook.id.to_string() != id);
    if book.hooks.len() == before {
        return Answer::failed("destroyMissingHook", "The hook informed was not found.");
    }
    let mut xml = Xml::success();
    xml.val("removed", true);
    Answer::xml(xml.end())
}

pub(crate) fn list(server: &Server, ask: &Ask) -> Answer {
    let meeting = ask.params.filled("meetingID");
    let mut xml = Xml::success();
    xml.open("hooks");
    for hook in &server.book().hooks {
        if meeting.is_some() && hook.meeting.is_some() && hook.meeting.as_deref() != meeting {
            continue;
        }
        xml.open("hook");
        xml.val("hookID", hook.id);
        xml.el("callbackURL", &hook.url);
        if let Some(meeting) = &hook.meeting {
            xml.el("meetingID", meeting);
        }
        xml.val("permanentHook", false);
        xml.val("rawData", hook.raw);
        xml.close("hook");
    }
    xml.close("hooks");
    Answer::xml(xml.end())
}
