//! A private nginx, and certificates of a private authority.

use super::{eventually, free_port};
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// nginx in the foreground, killed when dropped.
pub struct Nginx {
    pub port: u16,
    child: Child,
    directory: TempDir,
}

impl Nginx {
    /// Starts nginx with this text inside `http { … }`; `PORT` stands for a free port, `DIR` for its directory, where
    /// `access.log` has a line `protocol status uri` for each request.
    pub fn start(http: &str) -> Nginx {
        Nginx::start_in(TempDir::new().unwrap(), http)
    }

    /// The same in a directory that already has files, which the text may include by relative names.
    pub fn start_in(directory: TempDir, http: &str) -> Nginx {
        let port = free_port();
        let dir = directory.path().display().to_string();
        let http = http.replace("PORT", &port.to_string()).replace("DIR", &dir);
        let config = format!(
            "daemon off; pid {dir}/pid; error_log {dir}/error.log; worker_processes 1;\n\
             user root;\nevents {{ worker_connections 512; }}\n\
             http {{ log_format short '$server_protocol $status $request_uri'; access_log {dir}/access.log short;\n\
             client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;\n\
             uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;\n{http}\n}}\n"
        );
        let config = if is_root() { config } else { config.replace("user root;\n", "") };
        let path = directory.path().join("nginx.conf");
        fs::write(&path, config).unwrap();
        let child = Command::new("nginx")
            .args(["-c", path.to_str().unwrap(), "-p", &dir, "-e"])
            .arg(directory.path().join("error.log"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx (apt-get install nginx)");
        let mut nginx = Nginx { port, child, directory };
        eventually("nginx listens", || {
            let ended = nginx.child.try_wait().unwrap().is_some();
            assert!(!ended, "{}", fs::read_to_string(nginx.directory.path().join("error.log")).unwrap());
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        nginx
    }

    /// The content of a file in its directory; empty if it does not exist.
    pub fn file(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path().join(name)).unwrap_or_default()
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn access_log(&self) -> String {
        fs::read_to_string(self.directory.path().join("access.log")).unwrap()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM, so that the master stops its workers.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}

/// A private certificate authority, in a directory.
pub struct Authority {
    directory: TempDir,
}

impl Authority {
    pub fn new() -> Authority {
        let authority = Authority { directory: TempDir::new().unwrap() };
        authority.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=Private authority",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
        ]);
        authority
    }

    /// Its certificate.
    pub fn file(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// A certificate for a host, and its key.
    pub fn issue(&self, host: &str) -> (PathBuf, PathBuf) {
        let (key, csr, pem) = (format!("{host}.key"), format!("{host}.csr"), format!("{host}.pem"));
        self.openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-subj",
            &format!("/CN={host}"),
            "-addext",
            &format!("subjectAltName=DNS:{host}"),
            "-keyout",
            &key,
            "-out",
            &csr,
        ]);
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &csr,
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-copy_extensions",
            "copy",
            "-out",
            &pem,
        ]);
        (self.path(&pem), self.path(&key))
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(self.directory.path()).join(name)
    }

    fn openssl(&self, args: &[&str]) {
        let output = Command::new("openssl").args(args).current_dir(&self.directory).output();
        let output = output.expect("openssl (apt-get install openssl)");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
