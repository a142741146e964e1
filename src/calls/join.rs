//! join: sends a browser to the server of its meeting.

use super::forward::log_store_failure;
use super::{ApiRequest, Call, CallResponse, CallResult};
use crate::app::App;
use crate::bbb::{ApiError, Params};
use crate::store::JoinOutcome;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use url::Url;

/// What is encoded in the parameter `errors`; BBB leaves these as they are.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'[')
    .remove(b']')
    .remove(b':')
    .remove(b',')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Takes meetingID and every parameter that the servers take. Counts the participant and redirects to the
/// server's signed join URL; with `redirect=false` it returns the server's own XML. An error of ours goes to
/// errorRedirectUrl if there is one; the server redirects with its own.
pub(super) async fn join(app: &App, mut request: ApiRequest) -> CallResult {
    let api = &app.config.api;
    api.join.apply(&mut request.params);
    let meeting = match request.meeting_key() {
        Ok(meeting) => meeting,
        Err(error) => return refuse(&request.params, error),
    };
    let accounting = app.config.load.accounting;
    let found = match app.store.join(&meeting, api.disabled_refuses_joins, accounting).await {
        Ok(JoinOutcome::Found(at)) => Ok(at),
        Ok(JoinOutcome::Unavailable) => Err(ApiError::ServerUnavailable),
        Ok(JoinOutcome::Unknown) => Err(ApiError::MeetingNotFound),
        Err(failure) => Err(failure.into()),
    };
    let at = match found {
        Ok(at) => at,
        Err(error) => return refuse(&request.params, error),
    };
    api.join.strip(&mut request.params);
    if is_inline(&request.params) {
        let reply = app.servers.call(&at, "join", &request.params, request.payload()).await;
        if !reply.as_ref().is_ok_and(|reply| reply.envelope.success) {
            // The response is there, whatever Redis says.
            if let Err(failure) = app.store.unjoin(&meeting, accounting).await {
                log_store_failure(&failure);
            }
        }
        return match reply {
            Ok(reply) => Ok(CallResponse::Xml(reply.body)),
            Err(failure) => Err(app.report_failure(Call::Join, &at, &failure)),
        };
    }
    Ok(CallResponse::Redirect(app.servers.signed_url(&at, "join", &request.params)))
}

fn is_inline(params: &Params) -> bool {
    params.get("redirect").is_some_and(|value| value.eq_ignore_ascii_case("false"))
}

/// The error; or a redirect that carries it, if the request has errorRedirectUrl. Only for requests whose checksum is
/// valid: the client has signed that URL.
fn refuse(params: &Params, error: ApiError) -> CallResult {
    match error_url(params, &error) {
        Some(to) => Ok(CallResponse::Redirect(to)),
        None => Err(error),
    }
}

/// errorRedirectUrl with the parameter `errors`, as BBB adds it; None if there is no such URL over HTTP, or the client
/// wants XML.
fn error_url(params: &Params, error: &ApiError) -> Option<String> {
    if is_inline(params) {
        return None;
    }
    let mut url = Url::parse(params.present("errorRedirectUrl")?).ok()?;
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    let (message, key) = (Value::from(error.to_string()), Value::from(error.key()));
    let errors = format!("[{{\"message\":{message},\"key\":{key}}}]");
    let errors = utf8_percent_encode(&errors, ENCODED);
    let query = match url.query() {
        Some(query) if !query.is_empty() => format!("{query}&errors={errors}"),
        _ => format!("errors={errors}"),
    };
    url.set_query(Some(&query));
    Some(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirect(url: &str) -> Option<String> {
        let params: Params = [("errorRedirectUrl", url)].into_iter().collect();
        error_url(&params, &ApiError::ServerUnavailable)
    }

    #[test]
    fn error_is_added_to_the_query() {
        let errors = "errors=[%7B%22message%22:%22The%20server%20for%20this%20meeting%20is%20disabled%2Foffline.%22,\
                      %22key%22:%22serverUnavailable%22%7D]";
        for (given, before, after) in [
            ("https://app.example/x?y=1&z=%20a#frag", "https://app.example/x?y=1&z=%20a&", "#frag"),
            ("http://app.example", "http://app.example/?", ""),
            ("https://app.example/?", "https://app.example/?", ""),
        ] {
            assert_eq!(redirect(given).as_deref(), Some(format!("{before}{errors}{after}").as_str()));
        }
    }

    #[test]
    fn only_http_urls_are_redirected_to() {
        for bad in [
            "javascript:alert(1)",
            "data:text/html,x",
            "ftp://app.example/",
            "//app.example/",
            "/relative",
            "https://",
            "",
            " ",
        ] {
            assert_eq!(redirect(bad), None, "{bad}");
        }
        let split = redirect("https://app.example/\r\nSet-Cookie:%20a=b").unwrap();
        assert!(!split.contains(['\r', '\n']), "{split}");
    }
}
