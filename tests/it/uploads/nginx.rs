//! Uploads through nginx, with curl.

use super::*;
use crate::nginx::site::{HOST, Site};
use std::process::Command;

#[test]
fn large_upload_through_nginx_can_be_resumed() {
    let env = start_env(&["--no-poller"], &[]);
    let site = Site::start("plain", &[env.pool.replicas[0].port]);
    // Above client_max_body_size, which is 32 MB.
    let bytes: Vec<u8> = (0..40_000_000u32).map(|n| (n % 251) as u8).collect();
    let file = env.published().join("archive");
    std::fs::write(&file, &bytes).unwrap();
    let token = env.token_for("r-1", &bytes);
    let url = format!("http://127.0.0.1:{}/sl/recordings/r-1.tar", site.nginx.port);
    let curl = |args: &[&str]| {
        let output = Command::new("curl")
            .args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", &format!("Host: {HOST}")])
            .args(["-H", &format!("Authorization: Bearer {token}")])
            .args(args)
            .arg(&url)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    // Interrupted by --max-time.
    curl(&["-T", file.to_str().unwrap(), "--limit-rate", "10M", "--max-time", "2"]);
    let mut offset = 0;
    eventually("nginx closed the upload and a part has arrived", || {
        let reply = env.send("HEAD", "r-1", &token, None, b"");
        let seen: u64 = reply.header("upload-offset").unwrap().parse().unwrap();
        std::mem::replace(&mut offset, seen) == seen && seen > 0
    });
    let range = format!("Content-Range: bytes {offset}-{}/{}", bytes.len() - 1, bytes.len());
    let rest = env.published().join("rest");
    std::fs::write(&rest, &bytes[offset as usize..]).unwrap();
    eventually("the upload is resumed", || curl(&["-T", rest.to_str().unwrap(), "-H", &range]) == "201");
    assert!(std::fs::read(env.spool().join("r-1.upload.bbb1.tar")).unwrap() == bytes);
    // The rest of /sl stays closed.
    let other = url.replace("recordings/r-1.tar", "");
    let reply = client::fetch("GET", &other, &[("Host", HOST)], b"");
    assert_eq!(reply.status, 403);
}
