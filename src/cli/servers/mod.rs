//! `sl servers …`

mod drain;
mod panic;
mod print;

use super::Session;
use super::out::{Out, confirm};
use super::secret_arg::read_secret;
use crate::store::server_fields;
use crate::store::{
    AddOutcome, PollOutcome, RemoveOutcome, ServerRef, ServerState, SetStateOutcome, StoreError,
    UpdateOutcome,
};
use anyhow::bail;
use clap::{Args, Subcommand};
use drain::DrainArgs;
pub(super) use panic::end;
use panic::panic;
use serde_json::{Value, json};

#[derive(Subcommand)]
pub enum ServersCommand {
    /// Print every server
    List,
    /// Add a server; it is disabled until it is enabled
    Add(AddArgs),
    /// Change a server
    Update(UpdateArgs),
    /// Allow new meetings on servers; polls them immediately
    Enable {
        /// Server ids
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Allow no new meetings on servers, and disable them when their last meeting has ended
    Cordon {
        /// Server ids
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Allow no new meetings on servers; running meetings continue
    Disable {
        /// Server ids
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Remove servers from the pool
    Remove {
        /// Server ids
        #[arg(required = true)]
        ids: Vec<String>,
        /// Remove a server even if it has meetings; their records are released
        #[arg(long)]
        force: bool,
        /// Do not ask for confirmation
        #[arg(long, short)]
        yes: bool,
    },
    /// Disable a server, end and release all its meetings
    Panic {
        /// Server id
        id: String,
        /// Do not disable the server
        #[arg(long)]
        keep_state: bool,
        /// Do not call end for the meetings
        #[arg(long)]
        skip_end_calls: bool,
        /// Do not ask for confirmation
        #[arg(long, short)]
        yes: bool,
    },
    /// Cordon a server, and wait until its last meeting has ended
    Drain(DrainArgs),
    /// Print the pool as YAML
    Yaml {
        /// Also print state and load
        #[arg(long)]
        verbose: bool,
    },
}

#[derive(Args)]
pub struct AddArgs {
    /// API endpoint, such as https://bbb1.example.com/bigbluebutton/api
    url: String,
    /// Secret of the server (bbb-conf --secret); - reads it from standard input, @FILE from a file
    secret: String,
    /// Factor of this server's load; above 0
    #[arg(long, value_parser = multiplier)]
    load_multiplier: Option<f64>,
    /// Tag, by which meetings can request this server
    #[arg(long)]
    tag: Option<String>,
    /// Id (default: generated)
    #[arg(long)]
    id: Option<String>,
    /// Do not call the server to see whether it answers and accepts the secret
    #[arg(long)]
    no_check: bool,
}

#[derive(Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true)
    .args(["url", "secret", "load_multiplier", "tag"]))]
pub struct UpdateArgs {
    /// Server id
    id: String,
    /// New API endpoint
    #[arg(long)]
    url: Option<String>,
    /// New secret; - reads it from standard input, @FILE from a file
    #[arg(long)]
    secret: Option<String>,
    /// Factor of this server's load; above 0
    #[arg(long, value_parser = multiplier)]
    load_multiplier: Option<f64>,
    /// New tag; empty removes the tag
    #[arg(long)]
    tag: Option<String>,
}

pub async fn run(session: &Session, command: Option<ServersCommand>, out: Out) -> anyhow::Result<()> {
    match command.unwrap_or(ServersCommand::List) {
        ServersCommand::List => print::list(session, out).await,
        ServersCommand::Add(args) => add(session, args, out).await,
        ServersCommand::Update(args) => update(session, args, out).await,
        ServersCommand::Enable { ids } => {
            for_each(&ids, out, |id| set_state(session, id, ServerState::Enabled, out)).await
        }
        ServersCommand::Cordon { ids } => {
            for_each(&ids, out, |id| set_state(session, id, ServerState::Cordoned, out)).await
        }
        ServersCommand::Disable { ids } => {
            for_each(&ids, out, |id| set_state(session, id, ServerState::Disabled, out)).await
        }
        ServersCommand::Remove { ids, force, yes } => {
            if force && !yes {
                confirm_for_meetings(session, &ids, "Remove", "release").await?;
            }
            for_each(&ids, out, |id| remove(session, id, force, out)).await
        }
        ServersCommand::Panic { id, keep_state, skip_end_calls, yes } => {
            if !yes {
                let ends = if skip_end_calls { "release" } else { "end" };
                confirm_for_meetings(session, std::slice::from_ref(&id), "Panic", ends).await?;
            }
            panic(session, &id, keep_state, skip_end_calls, out).await
        }
        ServersCommand::Drain(args) => drain::run(session, args, out).await,
        ServersCommand::Yaml { verbose } => print::yaml(session, verbose, out).await,
    }
}

async fn add(session: &Session, args: AddArgs, out: Out) -> anyhow::Result<()> {
    let (url, host) = server_fields::read_url(&args.url)?;
    let is_generated = args.id.is_none();
    let mut id = match args.id {
        Some(id) => id,
        None if session.config.api.server_id_is_hostname => host,
        None => uuid::Uuid::new_v4().to_string(),
    };
    server_fields::check_id(&id)?;
    let secret = read_secret(&args.secret)?;
    server_fields::check_secret(secret.expose())?;
    let tag = args.tag.as_deref().filter(|tag| !tag.is_empty());
    tag.map_or(Ok(()), server_fields::check_tag)?;
    match session.store.add_server(&id, &url, &secret, args.load_multiplier, tag).await? {
        AddOutcome::Added | AddOutcome::Same => {}
        AddOutcome::Exists => {
            bail!(
                "there is a server {id} already, with other values: change it with `sl servers update {id}`"
            )
        }
        // The same server again: `add` may be repeated.
        AddOutcome::UrlTaken { id: taken, same: true } if is_generated => id = taken,
        AddOutcome::UrlTaken { id, .. } => {
            bail!("the server {id} has this url already: change it with `sl servers update {id}`")
        }
    }
    let mut report = json!({ "id": id });
    if !out.json {
        out.text(format!("OK\nid: {id}\n"))?;
    }
    if !args.no_check {
        let server = ServerRef { id, url, secret };
        let answer = match session.poller().check_server(&server).await {
            Ok(check) => {
                report["bbb_version"] = check.version.as_str().into();
                report["meetings"] = check.meetings.into();
                let version = if check.version.is_empty() { "of unknown version" } else { &check.version };
                format!("it answers: BigBlueButton {version}, {} meetings", check.meetings)
            }
            Err(failure) => {
                report["error"] = failure.to_string().into();
                format!("WARNING: it is added, but a call to it failed: {failure}")
            }
        };
        // Standard output is as Scalelite's, since scripts read it.
        if !out.json {
            eprintln!("{answer}");
        }
    }
    if out.json { out.value(&report) } else { Ok(()) }
}

async fn update(session: &Session, args: UpdateArgs, out: Out) -> anyhow::Result<()> {
    let id = session.server(&args.id).await?.at.id;
    let mut fields = Vec::new();
    if let Some(url) = args.url {
        fields.push(("url", server_fields::read_url(&url)?.0));
    }
    if let Some(secret) = args.secret {
        let secret = read_secret(&secret)?;
        server_fields::check_secret(secret.expose())?;
        fields.push(("secret", secret.expose().to_owned()));
    }
    if let Some(multiplier) = args.load_multiplier {
        fields.push(("load_multiplier", format!("{multiplier:?}")));
    }
    if let Some(tag) = args.tag {
        if !tag.is_empty() {
            server_fields::check_tag(&tag)?;
        }
        fields.push(("tag", tag));
    }
    match session.store.update_server(&id, &fields).await? {
        UpdateOutcome::Updated => done(&id, "updated", json!({}), out),
        UpdateOutcome::Unknown => bail!("server {id} was removed meanwhile"),
        UpdateOutcome::UrlTaken(other) => bail!("the server {other} has this url already"),
    }
}

/// Runs an operation on each server. A failure does not keep it from the others; it is part of the error. With
/// --json, prints a list of the reports.
async fn for_each<'a, F, R>(ids: &'a [String], out: Out, mut operation: F) -> anyhow::Result<()>
where
    F: FnMut(&'a str) -> R,
    R: Future<Output = anyhow::Result<Value>>,
{
    let (mut reports, mut failures) = (Vec::new(), Vec::new());
    for id in ids {
        match operation(id).await {
            Ok(report) => reports.push(report),
            // Redis: the others would fail too.
            Err(failure) if failure.is::<StoreError>() => return Err(failure),
            Err(failure) => {
                reports.push(json!({ "id": id, "error": format!("{failure:#}") }));
                failures.push(format!("{failure:#}"));
            }
        }
    }
    if out.json {
        out.value(&reports)?;
    }
    match failures.len() {
        0 => Ok(()),
        _ if ids.len() == 1 => bail!("{}", failures.concat()),
        failed => bail!("{failed} of {} servers failed: {}", ids.len(), failures.join("; ")),
    }
}

/// Asks for confirmation and says how many meetings are affected.
async fn confirm_for_meetings(
    session: &Session,
    ids: &[String],
    what: &str,
    how: &str,
) -> anyhow::Result<()> {
    let mut known = Vec::new();
    for id in ids {
        known.push(session.server(id).await.map_or(id.clone(), |server| server.at.id));
    }
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let meetings: u64 = session.store.poll_history(&known).await?.iter().map(|h| h.meetings).sum();
    confirm(&format!("{what} {} and {how} {meetings} meetings?", ids.join(", ")), "--yes")
}

async fn set_state(session: &Session, id: &str, state: ServerState, out: Out) -> anyhow::Result<Value> {
    let server = session.server(id).await?;
    let id = &server.at.id;
    let SetStateOutcome::Set { meetings } = session.store.set_state(id, state).await? else {
        bail!("server {id} was removed meanwhile");
    };
    let mut report = json!({ "id": id, "state": state, "meetings": meetings });
    let mut line = format!("OK {id}");
    match state {
        // Polls now instead of waiting for the next round.
        ServerState::Enabled => {
            let polled = session.poller().poll_immediately(&server.at).await;
            let online = matches!(polled, Ok(PollOutcome::Applied { online: true, .. }));
            line += if online { ": enabled, online" } else { ": enabled, but offline" };
            if let Err(failure) = polled {
                line += &format!(" ({failure})");
            }
            report["online"] = online.into();
        }
        ServerState::Cordoned | ServerState::Disabled => {
            line += &format!(": {}, {meetings} meetings still running", state.as_str());
        }
    }
    if !out.json {
        out.text(line + "\n")?;
    }
    Ok(report)
}

async fn remove(session: &Session, id: &str, force: bool, out: Out) -> anyhow::Result<Value> {
    // A record without a url can still be removed by its id.
    let id = session.server(id).await.map_or(id.to_owned(), |server| server.at.id);
    match session.store.remove_server(&id, force).await? {
        RemoveOutcome::Removed(meetings) => {
            if !out.json {
                out.text(format!("OK {id}: removed, meetings released {meetings}\n"))?;
            }
            Ok(json!({ "id": id, "done": "removed", "meetings_released": meetings }))
        }
        RemoveOutcome::Busy(meetings) => bail!(
            "{meetings} meetings are still running on {id}: cordon it and wait, panic it, or remove it with --force"
        ),
        RemoveOutcome::Unknown => bail!("there is no server {id}: see `sl servers`"),
    }
}

fn done(id: &str, what: &str, mut report: serde_json::Value, out: Out) -> anyhow::Result<()> {
    if out.json {
        report["id"] = id.into();
        report["done"] = what.into();
        return out.value(&report);
    }
    let mut line = format!("OK {id}: {what}");
    for (name, value) in report.as_object().into_iter().flatten() {
        let value = value.as_str().map_or(value.to_string(), str::to_owned);
        line += &format!(", {} {value}", name.replace('_', " "));
    }
    out.text(line + "\n")
}

fn multiplier(text: &str) -> Result<f64, String> {
    let number = text.parse().map_err(|_| "must be a number above 0".to_owned())?;
    server_fields::check_multiplier(number).map(|()| number).map_err(|error| error.to_string())
}
