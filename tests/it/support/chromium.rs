//! A real headless Chromium, controlled over a pair of pipes (`--remote-debugging-pipe`): commands of the Chrome
//! DevTools Protocol as JSON, each terminated by NUL.

use super::within;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Killed when dropped.
pub struct Chromium {
    child: Child,
    commands: PipeWriter,
    responses: BufReader<PipeReader>,
    last_id: u64,
    _profile: TempDir,
}

/// A page in a browser context; contexts share no cookies.
pub struct Tab {
    context: String,
    session: String,
}

impl Chromium {
    pub fn start() -> Chromium {
        let profile = TempDir::new().unwrap();
        let (command_reader, commands) = std::io::pipe().unwrap();
        let (responses, response_writer) = std::io::pipe().unwrap();
        let (read, write) = (command_reader.as_raw_fd(), response_writer.as_raw_fd());
        let mut command = Command::new("chromium");
        command
            // Chromium refuses to run as root, as in containers, with its sandbox.
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
        // SAFETY: these calls are async-signal-safe. Chromium reads from descriptor 3 and writes to 4; our pipe ends
        // may have these numbers, so they are moved first.
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
        Chromium { child, commands, responses: BufReader::new(responses), last_id: 0, _profile: profile }
    }

    /// A page in a new context.
    pub fn tab(&mut self) -> Tab {
        let text = |value: Value, name: &str| value[name].as_str().unwrap().to_owned();
        let context = text(self.call(None, "Target.createBrowserContext", json!({})), "browserContextId");
        let tab = self.open(&context);
        Tab { context, session: tab }
    }

    /// Another page in the context of a tab.
    pub fn tab_sharing_profile(&mut self, tab: &Tab) -> Tab {
        let session = self.open(&tab.context);
        Tab { context: tab.context.clone(), session }
    }

    fn open(&mut self, context: &str) -> String {
        let params = json!({ "url": "about:blank", "browserContextId": context });
        let target = self.call(None, "Target.createTarget", params)["targetId"].clone();
        let attached =
            self.call(None, "Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        attached["sessionId"].as_str().unwrap().to_owned()
    }

    /// Navigates to a page, following redirects, and waits until it is loaded.
    #[track_caller]
    pub fn navigate(&mut self, tab: &Tab, url: &str) {
        let result = self.call(Some(tab), "Page.navigate", json!({ "url": url }));
        assert!(result.get("errorText").is_none(), "{url}: {result}");
        self.wait_until(tab, "location.href !== 'about:blank' && document.readyState === 'complete'");
    }

    /// Evaluates an expression in the page; promises are awaited.
    #[track_caller]
    pub fn eval(&mut self, tab: &Tab, expression: &str) -> Value {
        let params = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let result = self.call(Some(tab), "Runtime.evaluate", params);
        assert!(result.get("exceptionDetails").is_none(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// Waits until an expression is true in the page.
    #[track_caller]
    pub fn wait_until(&mut self, tab: &Tab, expression: &str) {
        within(Duration::from_secs(60), expression, || {
            // During a redirect there may be no execution context.
            let params = json!({ "expression": expression, "returnByValue": true });
            self.try_call(Some(tab), "Runtime.evaluate", params)
                .is_ok_and(|result| result["result"]["value"] == json!(true))
        });
    }

    #[track_caller]
    fn call(&mut self, tab: Option<&Tab>, method: &str, params: Value) -> Value {
        self.try_call(tab, method, params).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn try_call(&mut self, tab: Option<&Tab>, method: &str, params: Value) -> Result<Value, Value> {
        self.last_id += 1;
        let mut command = json!({ "id": self.last_id, "method": method, "params": params });
        if let Some(tab) = tab {
            command["sessionId"] = json!(tab.session);
        }
        self.commands.write_all(format!("{command}\0").as_bytes()).unwrap();
        loop {
            let mut message = Vec::new();
            let read = self.responses.read_until(0, &mut message).unwrap();
            assert!(read > 0, "chromium has ended: {:?}", self.child.try_wait());
            let mut message: Value = serde_json::from_slice(message.strip_suffix(b"\0").unwrap()).unwrap();
            // All other messages are events.
            if message["id"] == json!(self.last_id) {
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
        // The whole process group: renderers write into the profile directory.
        // SAFETY: sends a signal to a process group that this test created.
        unsafe { libc::kill(-(self.child.id() as libc::pid_t), libc::SIGKILL) };
        let _ = self.child.wait();
    }
}
