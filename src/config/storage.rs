//! S3 as the storage of recordings. The variables that begin with `AWS_` are those of AWS' own tools.

use super::{Env, UrlUser};
use crate::bbb::Secret;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// The longest validity of a signed URL that AWS allows: a week.
const MAX_URL_SECONDS: u64 = 7 * 24 * 3600;

/// Variables that the S3 client gets unchanged, and whether they are secrets.
const AWS_VARIABLES: [(&str, bool, &str); 13] = [
    ("AWS_SESSION_TOKEN", true, "session token of temporary keys"),
    ("AWS_ROLE_ARN", false, "role to assume with a web identity"),
    ("AWS_ROLE_SESSION_NAME", false, "session name of that role"),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", false, "file with the web identity (EKS)"),
    ("AWS_ENDPOINT_URL_STS", false, "endpoint that returns keys for a web identity"),
    (
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        false,
        "path of the endpoint that returns keys to a container (ECS)",
    ),
    (
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        false,
        "URL of the endpoint that returns keys to a container (EKS)",
    ),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", false, "file with the token for that endpoint"),
    ("AWS_METADATA_ENDPOINT", false, "endpoint that returns keys to an instance (EC2)"),
    ("AWS_SERVER_SIDE_ENCRYPTION", false, "encryption of objects: AES256, aws:kms, aws:kms:dsse"),
    ("AWS_SSE_KMS_KEY_ID", false, "KMS key that encrypts objects"),
    ("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", false, "put the bucket's name into the host name (true, false)"),
    (
        "AWS_DISABLE_BULK_DELETE",
        false,
        "delete objects one by one, if the S3 service cannot delete several (true, false)",
    ),
];

/// Settings of S3.
#[derive(Debug, Clone)]
pub struct S3Config {
    /// S3_BUCKET_NAME.
    pub bucket: String,
    /// S3_ENDPOINT, without a trailing slash; None is AWS.
    pub endpoint: Option<String>,
    /// S3_REGION, AWS_REGION or AWS_DEFAULT_REGION.
    pub region: String,
    /// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. None uses the keys of the machine's role.
    pub keys: Option<(Secret, Secret)>,
    /// Further settings of the S3 client, by variable name.
    pub aws: Vec<(&'static str, Secret)>,
    /// S3_REDIRECT.
    pub redirect: bool,
    /// S3_URL_EXPIRES.
    pub url_expires: Duration,
    /// EXTRA_CA_FILE.
    pub extra_ca_file: Option<PathBuf>,
}

impl S3Config {
    /// None without S3_RECORDING; then the other variables are ignored.
    pub(super) fn from_env(env: &mut Env<'_>, extra_ca_file: Option<PathBuf>) -> Option<S3Config> {
        if !env.flag("S3_RECORDING", false, "store the files of recordings in S3 instead of directories") {
            return None;
        }
        let bucket = env.text("S3_BUCKET_NAME", "", "name of the bucket");
        if !is_bucket(&bucket) {
            env.mistake("S3_BUCKET_NAME", "must be the name of a bucket: 3 to 63 letters, digits, . - and _");
        }
        let endpoint = env.url("S3_ENDPOINT", "", UrlUser::Name, "URL of an S3 service (default: AWS)");
        let at_aws = endpoint.is_empty();
        let endpoint = match endpoint.as_str() {
            "" => None,
            text => match endpoint_url(text) {
                Ok(url) => Some(url),
                Err(must) => {
                    env.mistake("S3_ENDPOINT", must);
                    None
                }
            },
        };
        let region = ["S3_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"]
            .into_iter()
            .filter_map(|name| {
                env.optional(name, "region of the bucket (the first of S3_REGION, AWS_REGION, AWS_DEFAULT_REGION that is set)")
            })
            .next();
        if region.is_none() && at_aws {
            env.mistake("S3_REGION", "must be the region of the bucket, such as eu-central-1");
        }
        let id = env.secret("AWS_ACCESS_KEY_ID", "id of the access key");
        let key = env.secret("AWS_SECRET_ACCESS_KEY", "secret of the access key");
        let aws: Vec<(&'static str, Secret)> = AWS_VARIABLES
            .iter()
            .filter_map(|&(name, secret, about)| {
                let value = if secret { env.secret(name, about) } else { env.optional(name, about) };
                Some((name, Secret::from(value?)))
            })
            .collect();
        for name in ["AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "AWS_DISABLE_BULK_DELETE"] {
            let value = aws.iter().find(|(given, _)| *given == name).map(|(_, value)| value.expose());
            if value.is_some_and(|value| !matches!(value, "true" | "false")) {
                env.mistake(name, "must be true or false");
            }
        }
        let has_role =
            aws.iter().any(|(name, _)| name.contains("_CONTAINER_CRED") || name.contains("_IDENTITY_"));
        let keys = match (id, key) {
            (Some(id), Some(key)) => Some((Secret::from(id), Secret::from(key))),
            (Some(_), None) => {
                env.mistake("AWS_SECRET_ACCESS_KEY", "must be set with AWS_ACCESS_KEY_ID");
                None
            }
            (None, Some(_)) => {
                env.mistake("AWS_ACCESS_KEY_ID", "must be set with AWS_SECRET_ACCESS_KEY");
                None
            }
            (None, None) => {
                // Only a machine at AWS has a role.
                if !at_aws && !has_role {
                    env.mistake("AWS_ACCESS_KEY_ID", "must be set with S3_ENDPOINT");
                }
                None
            }
        };
        Some(S3Config {
            bucket,
            endpoint,
            region: region.unwrap_or_else(|| "us-east-1".to_owned()),
            keys,
            aws,
            redirect: env.flag(
                "S3_REDIRECT",
                false,
                "redirect viewers to signed URLs of the bucket, instead of sending the files ourselves",
            ),
            url_expires: Duration::from_secs(env.number(
                "S3_URL_EXPIRES",
                3600u64,
                |n| (1..=MAX_URL_SECONDS).contains(n),
                "must be a number of seconds from 1 to 604800",
                "how long a signed URL is valid, seconds",
            )),
            extra_ca_file,
        })
    }
}

fn is_bucket(name: &str) -> bool {
    (3..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

fn endpoint_url(text: &str) -> Result<String, &'static str> {
    let must = "must be https://host or, unless the service is AWS, http://host, with an optional port";
    let url = Url::parse(text).map_err(|_| must)?;
    let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    let is_fine = matches!(url.scheme(), "http" | "https") && url.has_host() && is_plain;
    // Requests to AWS must be encrypted.
    let is_unencrypted =
        url.scheme() == "http" && url.host_str().is_some_and(|host| host.ends_with(".amazonaws.com"));
    if !is_fine || url.password().is_some() || is_unencrypted {
        return Err(must);
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use crate::config::{BadSettings, Config};

    const GOOD: [(&str, &str); 5] = [
        ("S3_RECORDING", "true"),
        ("S3_BUCKET_NAME", "recordings"),
        ("S3_ENDPOINT", "http://minio:9000/"),
        ("AWS_ACCESS_KEY_ID", "AKhidden"),
        ("AWS_SECRET_ACCESS_KEY", "SKhidden"),
    ];

    fn read(vars: &[(&str, &str)]) -> Result<Config, BadSettings> {
        Config::read(&|name| vars.iter().rev().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    fn mistake(vars: &[(&str, &str)]) -> String {
        let BadSettings(mistakes) = read(&[&GOOD[..], vars].concat()).unwrap_err();
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        mistakes.into_iter().next().unwrap()
    }

    #[test]
    fn reads_valid_values_and_hides_secrets() {
        let config = read(&[&GOOD[..], &[("AWS_SESSION_TOKEN", "SThidden")]].concat()).unwrap();
        let s3 = config.recordings.s3.as_ref().unwrap();
        assert_eq!(s3.endpoint.as_deref(), Some("http://minio:9000"));
        assert_eq!((s3.region.as_str(), s3.redirect, s3.url_expires.as_secs()), ("us-east-1", false, 3600));
        let shown = format!("{config:?}{s3:?}");
        // The settings contain secrets, with a flag: `sl config` masks them.
        let settings = format!("{:?}", config.settings);
        assert!(!shown.replace(&settings, "").contains("hidden"), "{shown}");
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
            assert!(config.settings.iter().any(|s| s.name == name && s.secret), "{name}");
        }
        let at_aws = [&GOOD[..2], &[("AWS_REGION", "eu-central-1")]].concat();
        let s3 = read(&at_aws).unwrap().recordings.s3.unwrap();
        assert!(s3.keys.is_none() && s3.endpoint.is_none() && s3.region == "eu-central-1");
    }

    #[test]
    fn ignores_all_variables_without_s3_recording() {
        assert!(read(&[("S3_BUCKET_NAME", "!"), ("S3_ENDPOINT", "x")]).unwrap().recordings.s3.is_none());
    }

    #[test]
    fn names_every_invalid_or_missing_variable() {
        for (vars, says) in [
            ([("S3_BUCKET_NAME", "")], "S3_BUCKET_NAME must be"),
            ([("S3_BUCKET_NAME", "a/b")], "S3_BUCKET_NAME must be"),
            ([("S3_ENDPOINT", "minio:9000")], "S3_ENDPOINT must be"),
            ([("S3_ENDPOINT", "ftp://minio")], "S3_ENDPOINT must be"),
            ([("S3_ENDPOINT", "https://user:pw@minio")], "S3_ENDPOINT must be"),
            ([("S3_ENDPOINT", "http://s3.eu-central-1.amazonaws.com")], "S3_ENDPOINT must be"),
            ([("AWS_SECRET_ACCESS_KEY", "")], "AWS_SECRET_ACCESS_KEY must be set with AWS_ACCESS_KEY_ID"),
            ([("AWS_ACCESS_KEY_ID", "")], "AWS_ACCESS_KEY_ID must be set with AWS_SECRET_ACCESS_KEY"),
            ([("S3_REDIRECT", "perhaps")], "S3_REDIRECT must be true or false"),
            ([("S3_URL_EXPIRES", "604801")], "S3_URL_EXPIRES must be"),
            ([("AWS_DISABLE_BULK_DELETE", "si")], "AWS_DISABLE_BULK_DELETE must be true or false"),
        ] {
            let error = mistake(&vars);
            assert!(error.starts_with(says), "{error}");
        }
        assert!(mistake(&[("S3_ENDPOINT", "")]).starts_with("S3_REGION must be"));
        let neither = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")];
        assert!(mistake(&neither).starts_with("AWS_ACCESS_KEY_ID must be set with S3_ENDPOINT"));
    }
}
