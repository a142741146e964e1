//! Tests that need private parts of the storage; all others are in tests/it/s3.

use super::*;
use crate::bbb::Secret;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use std::path::PathBuf;

/// A bucket named `bucket` below a directory, and a storage in it.
async fn start(directory: &Path) -> S3Storage {
    std::fs::create_dir(directory.join("bucket")).unwrap();
    let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(directory).unwrap());
    service.set_auth(SimpleAuth::from_single("AK", "SK"));
    let service = service.build();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let executor = hyper_util::rt::TokioExecutor::new();
                let server = hyper_util::server::conn::auto::Builder::new(executor);
                let _ = server.serve_connection(hyper_util::rt::TokioIo::new(socket), service).await;
            });
        }
    });
    // As main() does.
    let _ = rustls::crypto::ring::default_provider().install_default();
    S3Storage::new(&S3Config {
        bucket: "bucket".into(),
        endpoint: Some(format!("http://127.0.0.1:{port}")),
        region: "us-east-1".into(),
        keys: Some((Secret::from("AK"), Secret::from("SK"))),
        aws: Vec::new(),
        redirect: false,
        url_expires: Duration::from_secs(60),
        extra_ca_file: None,
    })
    .unwrap()
}

#[tokio::test]
async fn objects_over_the_copy_limit_are_copied_in_parts() {
    let directory = tempfile::TempDir::new().unwrap();
    let mut s3 = start(directory.path()).await;
    s3.max_copy_bytes = 1_000_000;
    let (id, video) = (RecordId::parse("r1").unwrap(), FormatName::parse("video").unwrap());
    let film: Vec<u8> = (0..20_000_003u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let at = |shelf: &str, name: &str| -> PathBuf {
        directory.path().join("bucket").join(shelf).join("video/r1").join(name)
    };
    std::fs::create_dir_all(at("published", "")).unwrap();
    std::fs::write(at("published", "film.webm"), &film).unwrap();
    std::fs::write(at("published", "metadata.xml"), "<x/>").unwrap();
    let shelf_move = s3.move_to_shelf(&id, Some(Shelf::Published), Shelf::Unpublished).await.unwrap();
    assert_eq!(shelf_move.outcome, MoveOutcome::Moved);
    assert!(std::fs::read(at("unpublished", "film.webm")).unwrap() == film);
    assert_eq!(s3.formats(&id).await.unwrap(), [(video, Shelf::Unpublished)]);
    // Neither an unfinished upload nor its note is left.
    let names = |at: PathBuf| -> Vec<String> {
        std::fs::read_dir(at)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    assert!(!names(directory.path().into()).iter().any(|name| name.starts_with(".upload-")));
    assert_eq!(names(directory.path().join("bucket/.sl-work/r1/upload")), [""; 0]);
}
