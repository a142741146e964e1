//! The control door: what tests and demos do to the servers, over HTTP.
//! The module's documentation has the list of requests.

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

/// The door's thread, which also moves the demo people.
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
                tokio::spawn(live(demos));
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

/// Moves the demo people, as long as the runtime lives.
async fn live(mut demos: Vec<Demo>) {
    while !demos.is_empty() {
        tokio::time::sleep(demo::TICK).await;
        demos.iter_mut().for_each(Demo::tick);
    }
}

async fn accept(listener: std::net::TcpListener, servers: Arc<[SimServer]>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "no control door"),
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
    let answer = match Limited::new(body, 1 << 20).collect().await {
        Ok(body) => act(&servers, &parts.method, parts.uri.path(), &body.to_bytes()),
        Err(error) => Err((StatusCode::BAD_REQUEST, error.to_string())),
    };
    let (status, value) = match answer {
        Ok(value) => (StatusCode::OK, value),
        Err((status, error)) => (status, json!({ "error": error })),
    };
    let mut response = Response::new(Full::new(Bytes::from(format!("{value:#}\n"))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    Ok(response)
}

type Outcome = Result<Value, (StatusCode, String)>;

#[derive(Deserialize)]
struct People {
    #[serde(default)]
    add: usize,
    #[serde(default)]
    remove: usize,
}

#[derive(Deserialize)]
struct Rooms {
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
struct Clock {
    advance_ms: u64,
}

/// Does what one control request asks.
fn act(servers: &[SimServer], method: &Method, path: &str, body: &[u8]) -> Outcome {
    let mut segments = Vec::new();
    for segment in path.split('/').filter(|s| !s.is_empty()) {
        // A plus is a plus in a path.
        let segment = params::decode(&segment.replace('+', "%2B"))
            .map_err(|_| bad("the path cannot be decoded"))?
            .into_owned();
        segments.push(segment);
    }
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let [first, rest @ ..] = segments.as_slice() else {
        return Ok(json!({ "servers": "/servers", "documentation": "sl_sim" }));
    };
    if *first != "servers" {
        return Err(unknown());
    }
    let [n, rest @ ..] = rest else {
        return Ok(servers.iter().map(describe).collect());
    };
    let server = n
        .parse::<usize>()
        .ok()
        .and_then(|n| servers.get(n.checked_sub(1)?))
        .ok_or_else(|| (StatusCode::NOT_FOUND, format!("there is no server {n}")))?;
    let done = || Ok(json!({ "ok": true }));
    let there = |found: bool| match found {
        true => done(),
        false => Err((StatusCode::NOT_FOUND, "there is no such meeting".into())),
    };
    match (method.as_str(), rest) {
        ("GET", []) => Ok(describe(server)),
        ("GET", ["fault"]) => Ok(json!(server.faults())),
        ("POST", ["fault"]) => {
            server.set_fault(faults::from_json(body).map_err(bad)?);
            done()
        }
        ("DELETE", ["fault"]) => {
            server.clear_faults();
            done()
        }
        ("POST", ["restart"]) => {
            server.restart();
            done()
        }
        ("POST", ["clock"]) => {
            let Clock { advance_ms } = parse(body)?;
            server.advance_clock(Duration::from_millis(advance_ms));
            done()
        }
        ("GET", ["requests"]) => Ok(json!(server.last_requests())),
        ("DELETE", ["requests"]) => {
            server.clear_requests();
            done()
        }
        ("GET", ["meetings"]) => Ok(json!(server.meetings())),
        ("POST", ["meetings"]) => {
            let new: NewMeeting = parse(body)?;
            if new.count.max(new.people) > 100_000 {
                return Err(bad("that is a crowd"));
            }
            for n in 1..=new.count {
                let id = format!("{}-{n}", new.id);
                if server.create_meeting(&id, &id) {
                    server.add_people(&id, new.people);
                }
            }
            if new.count > 0 {
                return done();
            }
            if !server.create_meeting(&new.id, new.name.as_deref().unwrap_or(&new.id)) {
                return Err((StatusCode::CONFLICT, "the meeting exists".into()));
            }
            there(server.add_people(&new.id, new.people))
        }
        ("GET", ["meetings", id]) => match server.meeting(id) {
            Some(meeting) => Ok(json!(meeting)),
            None => there(false),
        },
        ("POST", ["meetings", id, "people"]) => {
            let People { add, remove } = parse(body)?;
            if add > 100_000 {
                return Err(bad("that is a crowd"));
            }
            there(server.remove_people(id, remove) && server.add_people(id, add))
        }
        ("POST", ["meetings", id, "breakouts"]) => {
            let Rooms { add, free_join } = parse(body)?;
            if add > 100 {
                return Err(bad("that is more rooms than people"));
            }
            there(server.meeting(id).is_some())?;
            Ok(json!({ "breakouts": server.add_breakouts(id, add, free_join) }))
        }
        ("POST", ["meetings", id, "end"]) => there(server.end_meeting(id)),
        ("POST", ["meetings", id, "forget"]) => there(server.forget_meeting(id)),
        _ => Err(unknown()),
    }
}

fn describe(server: &SimServer) -> Value {
    let (meetings, people) = server.census();
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
    serde_json::from_slice(body).map_err(bad)
}

fn bad(error: impl ToString) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, error.to_string())
}

fn unknown() -> (StatusCode, String) {
    (StatusCode::NOT_FOUND, "no such request; the documentation of sl_sim lists them".into())
}
