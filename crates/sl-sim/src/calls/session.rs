//! The calls of a browser that has joined, with its sessionToken, and getSessions. BBB answers most of them in JSON.

use serde_json::{Value, json};

use super::ApiResponse;
use crate::protocol::params::Params;
use crate::protocol::xml::XmlWriter;
use crate::server::Server;

fn is_session(server: &Server, params: &Params) -> bool {
    let Some(token) = params.non_blank("sessionToken") else { return false };
    let now = server.now_ms();
    let mut registry = server.registry();
    registry.list_meetings(now).iter().any(|m| m.people.iter().any(|p| p.session_token == token))
}

fn refused(message: &str, params: &Params) -> ApiResponse {
    let token = params.get("sessionToken").map_or(Value::Null, Value::from);
    ApiResponse::json(&json!({ "response": {
        "returncode": "FAILED", "message": message, "sessionToken": token,
    } }))
}

pub(super) fn get_join_url(server: &Server, params: &Params) -> ApiResponse {
    if !is_session(server, params) {
        return refused("Invalid Session", params);
    }
    let url = format!("http://{}/bigbluebutton/api/join?redirect=true", server.authority);
    ApiResponse::json(&json!({ "response": {
        "returncode": "SUCCESS", "message": "Join URL provided successfully.", "url": url,
    } }))
}

/// There is no dashboard to show.
pub(super) fn learning_dashboard(params: &Params) -> ApiResponse {
    refused("Learning Dashboard data not found", params)
}

pub(super) fn stuns(server: &Server, params: &Params) -> ApiResponse {
    ApiResponse::json(&if is_session(server, params) {
        json!({ "stunServers": [], "turnServers": [], "remoteIceCandidates": [] })
    } else {
        let logout_url = format!("http://{}", server.authority);
        json!({ "returncode": "FAILED", "message": "Could not find conference.", "logoutURL": logout_url })
    })
}

/// Succeeds always, as in BBB.
pub(super) fn sign_out(server: &Server, params: &Params) -> ApiResponse {
    if let Some(token) = params.non_blank("sessionToken") {
        server.registry().remove_session(token);
    }
    ApiResponse::xml(XmlWriter::success().finish())
}

/// Signed. The sessions themselves are of no use to a test.
pub(super) fn get_sessions() -> ApiResponse {
    let mut xml = XmlWriter::success();
    xml.write_empty("sessions");
    xml.write_text("messageKey", "noSessions");
    xml.write_text("message", "no sessions were found on this serverr");
    ApiResponse::xml(xml.finish())
}
