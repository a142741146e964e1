//! nginx with the project's files; tests edit in them what an operator would edit.

use crate::support::client::{self, Reply};
use crate::support::nginx::{Authority, Nginx};
use crate::support::{ROOT, free_port};
use std::fs;
use std::process::Command;
use tempfile::TempDir;

/// The host name in the files.
pub const HOST: &str = "sl.example.org";

/// nginx in front of some replicas.
pub struct Site {
    pub nginx: Nginx,
    /// The port that the TLS variant redirects from.
    pub plain_port: u16,
    /// The authority that signed its certificate.
    pub authority: Option<Authority>,
}

impl Site {
    /// One of the site files, in front of replicas at these ports.
    pub fn start(variant: &str, replicas: &[u16]) -> Site {
        Site::edited(variant, replicas, &[])
    }

    /// The same after some edits: file in nginx/, old text, new text.
    pub fn edited(variant: &str, replicas: &[u16], edits: &[(&str, &str, &str)]) -> Site {
        let text = fs::read_to_string(format!("{ROOT}/nginx/{variant}.conf")).unwrap();
        Site::of(&text, replicas, edits)
    }

    /// This text as the site file.
    pub fn of(text: &str, replicas: &[u16], edits: &[(&str, &str, &str)]) -> Site {
        let directory = TempDir::new().unwrap();
        let dir = directory.path().display().to_string();
        fs::create_dir(directory.path().join("sl")).unwrap();
        for entry in fs::read_dir(format!("{ROOT}/nginx/sl")).unwrap() {
            let (from, name) = (entry.as_ref().unwrap().path(), entry.unwrap().file_name());
            let name = format!("sl/{}", name.to_str().unwrap());
            let mut text = fs::read_to_string(from).unwrap();
            for (_, old, new) in edits.iter().filter(|(file, ..)| *file == name) {
                text = replace(&text, old, new);
            }
            text = match name.as_str() {
                "sl/replicas.conf" => with_replicas(&text, replicas),
                "sl/server.conf" => replace(&text, "/var/log/nginx/", &format!("{dir}/")),
                "sl/recordings.conf" => replace(&text, "/var/bigbluebutton", &dir),
                _ => text,
            };
            fs::write(directory.path().join(name), text).unwrap();
        }
        // Tests use the address too.
        let text = text.replace(&format!("server_name .{HOST};"), &format!("server_name .{HOST} 127.0.0.1;"));
        // No IPv6: the test machine may have none.
        let lines = text.lines().filter(|line| !line.contains("listen [::]:"));
        let mut text = lines.collect::<Vec<_>>().join("\n");
        let (mut plain_port, mut authority) = (0, None);
        if text.contains("listen 443") {
            plain_port = free_port();
            let private_ca = Authority::new();
            let (certificate, key) = private_ca.issue(HOST);
            let letsencrypt = format!("/etc/letsencrypt/live/{HOST}");
            text = replace(&text, &format!("{letsencrypt}/fullchain.pem"), certificate.to_str().unwrap());
            text = replace(&text, &format!("{letsencrypt}/privkey.pem"), key.to_str().unwrap());
            text = replace(&text, "listen 443 ", "listen 127.0.0.1:PORT ");
            text = replace(&text, "listen 80", &format!("listen 127.0.0.1:{plain_port}"));
            text = replace(&text, "/var/log/nginx/", "DIR/");
            text = replace(&text, "/var/www/", "DIR/");
            authority = Some(private_ca);
        } else {
            text = replace(&text, "listen 80", "listen 127.0.0.1:PORT");
        }
        Site { nginx: Nginx::start_in(directory, &text), plain_port, authority }
    }

    pub fn url(&self, target: &str) -> String {
        format!("http://127.0.0.1:{}{target}", self.nginx.port)
    }

    pub fn get(&self, target: &str) -> Reply {
        self.fetch("GET", target, &[])
    }

    pub fn fetch(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Reply {
        client::fetch(method, &self.url(target), headers, b"")
    }

    /// Fetches with curl, for TLS and HTTP/2. Returns the whole output, headers first.
    pub fn curl(&self, url: &str, args: &[&str]) -> String {
        let mut command = Command::new("curl");
        command.args(["-si", "--noproxy", "*", "--max-time", "60"]);
        for port in [self.nginx.port, self.plain_port] {
            command.args(["--resolve", &format!("{HOST}:{port}:127.0.0.1")]);
        }
        if let Some(authority) = &self.authority {
            command.arg("--cacert").arg(authority.file());
        }
        let output = command.args(args).arg(url).output().expect("curl (apt-get install curl)");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// What `site.sh` prints for these variables.
pub fn scalelite(variables: &[(&str, &str)]) -> Result<String, String> {
    let mut command = Command::new(format!("{ROOT}/nginx/site.sh"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// Replaces a text that must be present.
#[track_caller]
fn replace(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "{old} is not in:\n{text}");
    text.replace(old, new)
}

/// Replaces the two replicas of the file by any number.
fn with_replicas(text: &str, ports: &[u16]) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.contains("server 127.0.0.1:3000") {
            lines.extend(ports.iter().map(|port| line.replace(":3000", &format!(":{port}"))));
        } else if !line.contains("server 127.0.0.1:3001") {
            lines.push(line.to_owned());
        }
    }
    lines.join("\n")
}
