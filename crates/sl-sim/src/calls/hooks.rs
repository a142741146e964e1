//! The webhook calls: hooks are registered and listed, never delivered.

use super::{ApiRequest, ApiResponse};
use crate::protocol::xml::XmlWriter;
use crate::server::Server;

/// A registered webhook.
#[derive(Clone)]
pub(crate) struct Hook {
    pub(crate) id: u32,
    pub(crate) url: String,
    pub(crate) meeting: Option<String>,
    pub(crate) raw: bool,
}

pub(crate) fn create(server: &Server, request: &ApiRequest) -> ApiResponse {
    let Some(url) = request.params.non_blank("callbackURL") else {
        return ApiResponse::failed(
            "missingParamCallbackURL",
            "You must specify a callbackURL in the parameters.",
        );
    };
    let meeting = request.params.non_blank("meetingID");
    let mut xml = XmlWriter::success();
    let mut registry = server.registry();
    if let Some(hook) =
        registry.hooks.iter().find(|hook| hook.url == url && hook.meeting.as_deref() == meeting)
    {
        xml.write_value("hookID", hook.id);
        xml.write_text("messageKey", "duplicateWarning");
        xml.write_text("message", "There is already a hook for this callback URL.");
        return ApiResponse::xml(xml.finish());
    }
    registry.last_hook_id += 1;
    let hook = Hook {
        id: registry.last_hook_id,
        url: url.into(),
        meeting: meeting.map(Into::into),
        raw: request.params.flag("getRaw").unwrap_or(false),
    };
    xml.write_value("hookID", hook.id);
    xml.write_value("permanentHook", false);
    xml.write_value("rawData", hook.raw);
    registry.hooks.push(hook);
    ApiResponse::xml(xml.finish())
}

pub(crate) fn destroy(server: &Server, request: &ApiRequest) -> ApiResponse {
    let Some(id) = request.params.non_blank("hookID") else {
        return ApiResponse::failed("missingParamHookID", "You must specify a hookID in the parameters.");
    };
    let mut registry = server.registry();
    let before = registry.hooks.len();
    registry.hooks.retain(|hook| hook.id.to_string() != id);
    if registry.hooks.len() == before {
        return ApiResponse::failed("destroyMissingHook", "The hook informed was not found.");
    }
    let mut xml = XmlWriter::success();
    xml.write_value("removed", true);
    ApiResponse::xml(xml.finish())
}

pub(crate) fn list(server: &Server, request: &ApiRequest) -> ApiResponse {
    let meeting = request.params.non_blank("meetingID");
    let mut xml = XmlWriter::success();
    xml.open("hooks");
    for hook in &server.registry().hooks {
        if meeting.is_some() && hook.meeting.is_some() && hook.meeting.as_deref() != meeting {
            continue;
        }
        xml.open("hook");
        xml.write_value("hookID", hook.id);
        xml.write_text("callbackURL", &hook.url);
        if let Some(meeting) = &hook.meeting {
            xml.write_text("meetingID", meeting);
        }
        xml.write_value("permanentHook", false);
        xml.write_value("rawData", hook.raw);
        xml.close("hook");
    }
    xml.close("hooks");
    ApiResponse::xml(xml.finish())
}
