//! Replicas whose S3 is down, frozen or misconfigured.

use super::*;
use crate::assert_response;
use crate::support::{Pool, RecordingEnv};

fn start_env(bucket: &Bucket) -> RecordingEnv {
    let variables = bucket.variables();
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let env = RecordingEnv::with(1, &variables);
    env.add("r1", "m", 1);
    for format in ["presentation", "video"] {
        bucket.put(&format!("published/{format}/r1/index.html"), b"r1");
    }
    env
}

const PUBLISHED: [&str; 2] = ["published/presentation/r1/index.html", "published/video/r1/index.html"];
const UNPUBLISHED: [&str; 2] = ["unpublished/presentation/r1/index.html", "unpublished/video/r1/index.html"];

#[test]
fn recordings_are_listed_but_unchangeable_while_s3_is_down() {
    let bucket = Bucket::start();
    let env = start_env(&bucket);
    bucket.network.set_down(true);
    assert_eq!(env.record_ids("meetingID=m"), ["r1"]);
    assert_response!(
        env.pool.get("publishRecordings", "recordID=r1&publish=false"),
        xml @"<response><returncode>FAILED</returncode><messageKey>internalError</messageKey><message>The \
              files of the recording could not be changed. Please try again.</message></response>"
    );
    assert_response!(
        env.pool.get("deleteRecordings", "recordID=r1"),
        xml @"<response><returncode>FAILED</returncode><messageKey>internalError</messageKey><message>The \
              files of the recording could not be changed. Please try again.</message></response>"
    );
    assert_eq!(env.record_ids("state=published"), ["r1"]);
    assert_eq!(bucket.keys(), PUBLISHED);
    // Once S3 is back, everything works without intervention.
    bucket.network.set_down(false);
    env.pool.get("publishRecordings", "recordID=r1&publish=false").success();
    assert_eq!(env.record_ids("state=unpublished"), ["r1"]);
    assert_eq!(bucket.keys(), UNPUBLISHED);
    assert!(!env.pool.replicas[0].log().contains(crate::support::s3::SECRET_KEY));
}

#[test]
fn frozen_s3_fails_calls_in_time() {
    let bucket = Bucket::start();
    let env = start_env(&bucket);
    bucket.network.set_frozen(true);
    let failed = env.pool.get("publishRecordings", "recordID=r1&publish=false");
    assert_eq!(failed.failed(), "internalError");
    assert_eq!(env.record_ids("state=published"), ["r1"]);
    bucket.network.set_frozen(false);
    env.pool.get("publishRecordings", "recordID=r1&publish=false").success();
    assert_eq!(bucket.keys(), UNPUBLISHED);
}

#[test]
fn broken_s3_connections_are_reopened() {
    let bucket = Bucket::start();
    let env = start_env(&bucket);
    // Each cut is in the middle of another request.
    bucket.network.cut_after(2_500, 9);
    for publish in ["false", "true", "false"] {
        env.pool.get("publishRecordings", &format!("recordID=r1&publish={publish}")).success();
    }
    assert_eq!(bucket.network.cuts(), 9);
    assert_eq!(bucket.keys(), UNPUBLISHED);
    env.pool.get("deleteRecordings", "recordID=r1").success();
    assert_eq!(bucket.keys(), [""; 0]);
}

#[test]
fn invalid_s3_settings_stop_the_start() {
    let bucket = Bucket::start();
    let variables = bucket.variables();
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    for (name, value, message) in [
        ("S3_BUCKET_NAME", "", "S3_BUCKET_NAME must be the name of a bucket"),
        ("S3_ENDPOINT", "minio:9000", "S3_ENDPOINT must be https://host"),
        ("AWS_SECRET_ACCESS_KEY", "", "AWS_SECRET_ACCESS_KEY must be set"),
    ] {
        let mut pool = Pool::empty(1, &variables);
        pool.set(name, value);
        for command in ["serve", "importer"] {
            let line = pool.sl_fails(&[command]);
            assert!(line.starts_with(&format!("sl: {message}")), "{line}");
            assert!(!line.contains(crate::support::s3::SECRET_KEY));
        }
    }
    let pool = Pool::empty(1, &variables);
    let output = pool.sl_ok(&["config"]);
    assert!(
        !output.contains(crate::support::s3::SECRET_KEY) && output.contains("S3_BUCKET_NAME"),
        "{output}"
    );
}
