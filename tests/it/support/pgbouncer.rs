//! A private PgBouncer.

use super::{Postgres, eventually, free_port};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// PgBouncer in transaction mode in front of a [`Postgres`], with few sessions, so that they are shared. Killed when
/// dropped.
pub struct PgBouncer {
    port: u16,
    child: Child,
    _directory: TempDir,
}

impl PgBouncer {
    pub fn start(postgres: &Postgres) -> PgBouncer {
        let (directory, port) = (TempDir::new().unwrap(), free_port());
        let users = directory.path().join("users.txt");
        std::fs::write(&users, "\"sl\" \"\"\n").unwrap();
        let config = directory.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = transaction\ndefault_pool_size = 4\n\
             max_client_conn = 200\n",
            postgres.port,
            users.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new("pgbouncer");
        // It refuses to run as root.
        if let Some((uid, gid)) = super::postgres::other_user() {
            command.uid(uid).gid(gid);
            std::os::unix::fs::chown(directory.path(), Some(uid), Some(gid)).unwrap();
        }
        command.arg("-q").arg(&config).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(Stdio::null()).spawn().expect("pgbouncer (apt-get install pgbouncer)");
        eventually("pgbouncer listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        PgBouncer { port, child, _directory: directory }
    }

    pub fn url(&self) -> String {
        format!("postgres://sl@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
