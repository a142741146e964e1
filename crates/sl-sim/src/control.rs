//! The control API: HTTP and JSON, for tests and demos. The crate's documentation lists its requests.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::demo::{self, Demo};
use crate::faults;
use crate::handle::SimServer;
use crate::protocol::params;

/// Bounds the body of a control request.
const MAX_BODY_BYTES: usize = 1 << 20;

/// Bounds the meetings or participants that one request adds: more is a mistake, and would exhaust the memory.
const MAX_ADDED: usize = 100_000;

/// Bounds the breakout rooms that one request adds: more is a mistake.
const MAX_ADDED_BREAKOUTS: u32 = 100;

/// The thread of the control API, which also runs the demo meetings.
pub(crate) struct Control {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Control {
    pub(crate) fn start(address: SocketAddr, servers: Arc<[SimServer]>, people: u32) -> io::Result<Control> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let demos: Vec<Demo> = if people == 0 {
            Vec::new()
        } else {
            let start = |server: &SimServer| Demo::start(server.0.clone(), people);
            servers.iter().map(start).collect()
        };
        let (stop, mut stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("sim-control".into()).spawn(move || {
            runtime.block_on(async move {
                tokio::spawn(run_demos(demos));
                tokio::select! {
                    _ = &mut stopped => {}
                    () = accept(listener, servers) => {}
                }
            });
        })?;
        Ok(Control { address, stop, thread })
    }

    pub(crate) fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}

/// Changes the demo meetings until the runtime stops.
async fn run_demos(mut demos: Vec<Demo>) {
    while !demos.is_empty() {
        tokio::time::sleep(demo::TICK_INTERVAL).await;
        demos.iter_mut().for_each(Demo::tick);
    }
}

async fn accept(listener: std::net::TcpListener, servers: Arc<[SimServer]>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "cannot start the control API"),
    };
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let servers = servers.clone();
        tokio::spawn(http1::Builder::new().serve_connection(
            TokioIo::new(stream),
            service_fn(move |request| serve(servers.clone(), request)),
        ));
    }
}

async fn serve(
    servers: Arc<[SimServer]>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let result = match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => dispatch(&servers, &parts.method, parts.uri.path(), &body.to_bytes()),
        Err(error) => Err((StatusCode::BAD_REQUEST, error.to_string())),
    };
    let (status, value) = match result {
        Ok(value) => (StatusCode::OK, value),
        Err((status, error)) => (status, json!({ "error": error })),
    };
    let mut response = Response::new(Full::new(Bytes::from(format!("{value:#}\n"))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    Ok(response)
}

type ControlResult = Result<Value, (StatusCode, String)>;

#[derive(Deserialize)]
struct PeopleChange {
    #[serde(default)]
    add: usize,
    #[serde(default)]
    remove: usize,
}

#[derive(Deserialize)]
struct NewBreakouts {
    add: u32,
    #[serde(default)]
    free_join: bool,
}

#[derive(Deserialize)]
struct NewMeeting {
    id: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    people: usize,
    #[serde(default)]
    count: usize,
}

#[derive(Deserialize)]
struct ClockChange {
    advance_ms: u64,
}

/// Executes one control request.
fn dispatch(servers: &[SimServer], method: &Method, path: &str, body: &[u8]) -> ControlResult {
    let mut segments = Vec::new();
    for segment in path.split('/').filter(|s| !s.is_empty()) {
        // In a path a plus is literal.
        let segment = params::percent_decode(&segment.replace('+', "%2B"))
            .map_err(|_| bad_request("the path cannot be decoded"))?
            .into_owned();
        segments.push(segment);
    }
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let [first, rest @ ..] = segments.as_slice() else {
        return Ok(json!({ "servers": "/servers", "documentation": "sl_sim" }));
    };
    if *first != "servers" {
        return Err(unknown_request());
    }
    let [n, rest @ ..] = rest else {
        return Ok(servers.iter().map(describe_server).collect());
    };
    let server = n
        .parse::<usize>()
        .ok()
        .and_then(|n| servers.get(n.checked_sub(1)?))
        .ok_or_else(|| (StatusCode::NOT_FOUND, format!("no server {n}")))?;
    match rest {
        ["meetings", rest @ ..] => handle_meetings(server, method, rest, body),
        _ => handle_server(server, method, rest, body),
    }
}

fn handle_server(server: &SimServer, method: &Method, path: &[&str], body: &[u8]) -> ControlResult {
    match (method.as_str(), path) {
        ("GET", []) => return Ok(describe_server(server)),
        ("GET", ["fault"]) => return Ok(json!(server.faults())),
        ("GET", ["requests"]) => return Ok(json!(server.last_requests())),
        ("POST", ["fault"]) => server.set_fault(faults::from_json(body).map_err(bad_request)?),
        ("DELETE", ["fault"]) => server.clear_faults(),
        ("DELETE", ["requests"]) => server.clear_requests(),
        ("POST", ["restart"]) => server.restart(),
        ("POST", ["clock"]) => {
            let ClockChange { advance_ms } = parse(body)?;
            server.advance_clock(Duration::from_millis(advance_ms));
        }
        _ => return Err(unknown_request()),
    }
    Ok(ok())
}

fn handle_meetings(server: &SimServer, method: &Method, path: &[&str], body: &[u8]) -> ControlResult {
    match (method.as_str(), path) {
        ("GET", []) => Ok(json!(server.meetings())),
        ("POST", []) => add_meetings(server, parse(body)?),
        ("GET", [id]) => server.meeting(id).map(|meeting| json!(meeting)).ok_or_else(no_meeting),
        ("POST", [id, "people"]) => {
            let PeopleChange { add, remove } = parse(body)?;
            if add > MAX_ADDED {
                return Err(bad_request(format!("at most {MAX_ADDED} people")));
            }
            ok_if_found(server.remove_people(id, remove) && server.add_people(id, add))
        }
        ("POST", [id, "breakouts"]) => {
            let NewBreakouts { add, free_join } = parse(body)?;
            if add > MAX_ADDED_BREAKOUTS {
                return Err(bad_request(format!("at most {MAX_ADDED_BREAKOUTS} breakout rooms")));
            }
            server.meeting(id).ok_or_else(no_meeting)?;
            Ok(json!({ "breakouts": server.add_breakouts(id, add, free_join) }))
        }
        ("POST", [id, "end"]) => ok_if_found(server.end_meeting(id)),
        ("POST", [id, "forget"]) => ok_if_found(server.forget_meeting(id)),
        _ => Err(unknown_request()),
    }
}

fn add_meetings(server: &SimServer, new: NewMeeting) -> ControlResult {
    if new.count.max(new.people) > MAX_ADDED {
        return Err(bad_request(format!("at most {MAX_ADDED} meetings, of at most {MAX_ADDED} people")));
    }
    for n in 1..=new.count {
        let id = format!("{}-{n}", new.id);
        if server.create_meeting(&id, &id) {
            server.add_people(&id, new.people);
        }
    }
    if new.count > 0 {
        return Ok(ok());
    }
    if !server.create_meeting(&new.id, new.name.as_deref().unwrap_or(&new.id)) {
        return Err((StatusCode::CONFLICT, "the meeting already exists".into()));
    }
    ok_if_found(server.add_people(&new.id, new.people))
}

fn ok() -> Value {
    json!({ "ok": true })
}

fn ok_if_found(found: bool) -> ControlResult {
    if found { Ok(ok()) } else { Err(no_meeting()) }
}

fn no_meeting() -> (StatusCode, String) {
    (StatusCode::NOT_FOUND, "no such meeting".into())
}

fn describe_server(server: &SimServer) -> Value {
    let (meetings, people) = server.totals();
    json!({
        "n": server.number(),
        "url": server.url(),
        "secret": server.secret(),
        "meetings": meetings,
        "people": people,
        "counts": server.counts(),
        "fault": server.faults().first(),
    })
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, (StatusCode, String)> {
    serde_json::from_slice(body).map_err(bad_request)
}

fn bad_request(error: impl ToString) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, error.to_string())
}

fn unknown_request() -> (StatusCode, String) {
    (StatusCode::NOT_FOUND, "no such request; the documentation of sl_sim lists all requests".into())
}
