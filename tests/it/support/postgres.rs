//! A private Postgres.

use super::{eventually, free_port};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use tempfile::TempDir;

/// A private Postgres on a free port, in a temporary directory. It is a copy of a cluster that the first test
/// creates in target/, since creating one takes a second.
pub struct Postgres {
    pub port: u16,
    child: Option<Child>,
    directory: TempDir,
    settings: Vec<&'static str>,
}

impl Postgres {
    pub fn start() -> Postgres {
        Postgres::with(&["shared_buffers=16MB", "max_wal_size=256MB", "autovacuum=off"])
    }

    /// The same with given settings.
    pub fn with(settings: &[&'static str]) -> Postgres {
        let directory = TempDir::new().unwrap();
        // The user that runs Postgres must be able to enter the directory.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let copied = Command::new("cp").arg("-a").arg(template()).arg(directory.path().join("data")).status();
        assert!(copied.unwrap().success());
        let mut postgres =
            Postgres { port: free_port(), child: None, directory, settings: settings.to_vec() };
        postgres.up();
        postgres
    }

    pub fn url(&self) -> String {
        format!("postgres://sl@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts it (again) on its port.
    pub fn up(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.log_file()).unwrap();
        let mut command = Command::new(binaries().join("postgres"));
        command
            .arg("-D")
            .arg(self.directory.path().join("data"))
            .args(["-p", &self.port.to_string(), "-k", "", "-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "fsync=off", "-c", "log_min_messages=fatal"])
            .args(self.settings.iter().flat_map(|setting| ["-c", setting]))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        as_other_user(&mut command);
        self.child = Some(command.spawn().unwrap());
        let port = self.port;
        eventually("postgres listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        eventually("postgres answers", || self.psql("SELECT 1").status.success());
    }

    /// Restarts it with TLS. Connections with TLS need a certificate of this authority, others do not.
    pub fn use_tls(&mut self, authority: &Path, certificate: &Path, key: &Path) {
        let data = self.directory.path().join("data");
        for (from, name) in [(authority, "root.crt"), (certificate, "server.crt"), (key, "server.key")] {
            self.write_file(name, &fs::read_to_string(from).unwrap());
        }
        fs::set_permissions(data.join("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
        let access = "hostssl all all 127.0.0.1/32 trust clientcert=verify-ca\n\
                      hostnossl all all 127.0.0.1/32 trust\n\
                      hostssl all all ::1/128 trust clientcert=verify-ca\n";
        self.write_file("pg_hba.conf", access);
        self.settings.extend(["ssl=on", "ssl_ca_file=root.crt"]);
        self.down();
        self.up();
    }

    /// Restarts it such that `sl` needs a password to connect to `postgres`; `trusted` needs none.
    pub fn demand_password(&mut self) {
        self.sql("ALTER ROLE sl PASSWORD 'right'; CREATE ROLE trusted LOGIN SUPERUSER");
        self.write_file(
            "pg_hba.conf",
            "host all trusted 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n",
        );
        self.sql("SELECT pg_reload_conf()");
    }

    fn write_file(&self, name: &str, text: &str) {
        let path = self.directory.path().join("data").join(name);
        fs::write(&path, text).unwrap();
        if let Some((uid, gid)) = other_user() {
            std::os::unix::fs::chown(&path, Some(uid), Some(gid)).unwrap();
        }
    }

    /// Stops it immediately; committed data stay.
    pub fn down(&mut self) {
        if let Some(mut child) = self.child.take() {
            // SIGQUIT: an immediate shutdown, including child processes.
            signal("-QUIT", child.id());
            child.wait().unwrap();
        }
    }

    /// Freezes it (SIGSTOP): the postmaster and all backends.
    pub fn freeze(&self) {
        self.signal_all("-STOP");
    }

    /// Freezes the backends, as if their connections were silently lost; new connections work.
    pub fn freeze_sessions(&self) {
        let main = self.child.as_ref().unwrap().id();
        let children = fs::read_to_string(format!("/proc/{main}/task/{main}/children")).unwrap();
        children.split_whitespace().for_each(|pid| signal("-STOP", pid.parse().unwrap()));
    }

    /// Resumes it.
    pub fn thaw(&self) {
        self.signal_all("-CONT");
    }

    fn signal_all(&self, name: &str) {
        let main = self.child.as_ref().unwrap().id();
        let children = fs::read_to_string(format!("/proc/{main}/task/{main}/children")).unwrap();
        signal(name, main);
        children.split_whitespace().for_each(|pid| signal(name, pid.parse().unwrap()));
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// Its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap()
    }

    fn psql(&self, sql: &str) -> std::process::Output {
        Command::new("psql")
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &self.url(), "-c", sql])
            .output()
            .expect("psql (apt-get install postgresql)")
    }

    /// Runs SQL, which must succeed. Returns the rows, columns separated by `|`.
    #[track_caller]
    pub fn sql(&self, sql: &str) -> String {
        let output = self.psql(sql);
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }
}

/// A session that stays open, with its locks, until it is dropped.
pub struct Session {
    child: Child,
    input: Option<ChildStdin>,
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

impl Postgres {
    /// Opens a session and runs this SQL in it.
    pub fn session(&self, sql: &str) -> Session {
        let mut child = Command::new("psql")
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &self.url()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        writeln!(input, "{sql};\n\\echo done").unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while line.trim() != "done" {
            line.clear();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "psql has ended");
        }
        Session { child, input: Some(input) }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.signal_all("-CONT");
        }
        self.down();
    }
}

fn signal(name: &str, pid: u32) {
    let _ = Command::new("kill").args([name, &pid.to_string()]).stderr(Stdio::null()).status();
}

/// Debian's directory of the server's programs, newest version.
fn binaries() -> PathBuf {
    let mut versions: Vec<_> = fs::read_dir("/usr/lib/postgresql")
        .expect("postgres (apt-get install postgresql)")
        .map(|entry| entry.unwrap().path().join("bin"))
        .filter(|path| path.join("postgres").exists())
        .collect();
    versions.sort();
    versions.pop().expect("postgres (apt-get install postgresql)")
}

/// Postgres refuses to run as root: root runs it as the user that its package created.
fn as_other_user(command: &mut Command) {
    if let Some((uid, gid)) = other_user() {
        command.uid(uid).gid(gid);
    }
    command.current_dir("/");
}

pub(super) fn other_user() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt;
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let user = users.lines().find(|line| line.starts_with("postgres:")).expect("a user postgres");
    let mut fields = user.split(':').skip(2).map(|field| field.parse().unwrap());
    Some((fields.next().unwrap(), fields.next().unwrap()))
}

/// The cluster that all instances are copies of, created by the first test that needs it.
fn template() -> PathBuf {
    let template = Path::new(env!("CARGO_TARGET_TMPDIR")).join("postgres-template");
    let lock = fs::File::create(template.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    if !template.exists() {
        let new = template.with_extension("new");
        let _ = fs::remove_dir_all(&new);
        // That user may not be able to enter target/.
        let scratch = TempDir::new().unwrap();
        if let Some((uid, gid)) = other_user() {
            std::os::unix::fs::chown(scratch.path(), Some(uid), Some(gid)).unwrap();
        }
        let mut command = Command::new(binaries().join("initdb"));
        command
            .arg("-D")
            .arg(scratch.path().join("data"))
            .args(["-U", "sl", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"])
            .args(["--no-instructions", "--wal-segsize=1"]);
        as_other_user(&mut command);
        let output = command.output().unwrap();
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        let copied = Command::new("cp").arg("-a").arg(scratch.path().join("data")).arg(&new).status();
        assert!(copied.unwrap().success());
        fs::rename(&new, &template).unwrap();
    }
    template
}
