//! A real Chromium without a screen, spoken to over a pair of pipes (`--remote-debugging-pipe`): commands of
//! the Chrome DevTools Protocol as JSON, each ended by a NUL.

use super::within;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Ended when dropped.
pub struct Chromium {
    child: Child,
    commands: PipeWriter,
    answers: BufReader<PipeReader>,
    last: u64,
    _profile: TempDir,
}

/// A page in a profile of its own: cookies that one has, another has not.
pub struct Tab {
    context: String,
    session: String,
}

impl Chromium {
    pub fn start() -> Chromium {
        let profile = TempDir::new().unwrap();
        let (theirs, commands) = std::io::pipe().unwrap();
        let (answers, other) = std::io::pipe().unwrap();
        let (read, write) = (theirs.as_raw_fd(), other.as_raw_fd());
        let mut command = Command::new("chromium");
        command
            // Everybody is root in a container.
            .args(["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-component-update"])
            .args(["--autoplay-policy=no-user-gesture-required", "--mute-audio", "--no-proxy-server"])
            .args(["--remote-debugging-pipe", "about:blank"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .env("HOME", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        // SAFETY: these calls are async-signal-safe. It reads from 3 and writes to 4; ours may have these
        // numbers, so they are put out of the way first.
        unsafe {
            command.pre_exec(move || {
                let (from, to) =
                    (libc::fcntl(read, libc::F_DUPFD, 100), libc::fcntl(write, libc::F_DUPFD, 100));
                if from < 0 || to < 0 || libc::dup2(from, 3) < 0 || libc::dup2(to, 4) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                libc::close(from);
                libc::close(to);
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let child = command.spawn().expect("chromium (apt-get install chromium)");
        Chromium { child, commands, answers: BufReader::new(answers), last: 0, _profile: profile }
    }

    /// A page in a profile that nobody has used.
    pub fn tab(&mut self) -> Tab {
        let text = |value: Value, name: &str| value[name].as_str().unwrap().to_owned();
        let context = text(self.call(None, "Target.createBrowserContext", json!({})), "browserContextId");
        let tab = self.open(&context);
        Tab { context, session: tab }
    }

    /// One more in the profile of another.
    pub fn tab_beside(&mut self, tab: &Tab) -> Tab {
        let session = self.open(&tab.context);
        Tab { context: tab.context.clone(), session }
    }

    fn open(&mut self, context: &str) -> String {
        let made = json!({ "url": "about:blank", "browserContextId": context });
        let target = self.call(None, "Target.createTarget", made)["targetId"].clone();
        let attached =
            self.call(None, "Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        attached["sessionId"].as_str().unwrap().to_owned()
    }

    /// Goes to a page, following redirects, until it is loaded.
    #[track_caller]
    pub fn go(&mut self, tab: &Tab, url: &str) {
        let went = self.call(Some(tab), "Page.navigate", json!({ "url": url }));
        assert!(went.get("errorText").is_none(), "{url}: {went}");
        self.until(tab, "location.href !== 'about:blank' && document.readyState === 'complete'");
    }

    /// What an expression is worth there; promises are waited for.
    #[track_caller]
    pub fn eval(&mut self, tab: &Tab, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let told = self.call(Some(tab), "Runtime.evaluate", asked);
        assert!(told.get("exceptionDetails").is_none(), "{expression}: {told}");
        told["result"]["value"].clone()
    }

    /// Waits until an expression is true there.
    #[track_caller]
    pub fn until(&mut self, tab: &Tab, expression: &str) {
        within(Duration::from_secs(60), expression, || {
            // In the middle of a redirect there may be nobody to ask.
            let asked = json!({ "expression": expression, "returnByValue": true });
            self.try_call(Some(tab), "Runtime.evaluate", asked)
                .is_ok_and(|told| told["result"]["value"] == json!(true))
        });
    }

    #[track_caller]
    fn call(&mut self, tab: Option<&Tab>, method: &str, params: Value) -> Value {
        self.try_call(tab, method, params).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn try_call(&mut self, tab: Option<&Tab>, method: &str, params: Value) -> Result<Value, Value> {
        self.last += 1;
        let mut command = json!({ "id": self.last, "method": method, "params": params });
        if let Some(tab) = tab {
            command["sessionId"] = json!(tab.session);
        }
        self.commands.write_all(format!("{command}\0").as_bytes()).unwrap();
        loop {
            let mut message = Vec::new();
            let read = self.answers.read_until(0, &mut message).unwrap();
            assert!(read > 0, "chromium has ended: {:?}", self.child.try_wait());
            let mut message: Value = serde_json::from_slice(message.strip_suffix(b"\0").unwrap()).unwrap();
            // Everything else is events, which nobody has asked for.
            if message["id"] == json!(self.last) {
                return match message.get_mut("error") {
                    Some(error) => Err(error.take()),
                    None => Ok(message["result"].take()),
                };
            }
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // The whole group: its renderers write into the profile.
        // SAFETY: a signal to a group that we have made.
        unsafe { libc::kill(-(self.child.id() as libc::pid_t), libc::SIGKILL) };
        let _ = self.child.wait();
    }
}
