//! S3: whether the files of recordings are there, and how it is reached. The variables with `AWS_` are
//! those of AWS' own tools.

use super::Env;
use crate::bbb::Secret;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// A signed URL works no longer than this, says AWS: a week.
const LONGEST_URL: u64 = 7 * 24 * 3600;

/// Variables that go to the S3 client as they are, and whether they are secrets.
const AWS: [(&str, bool, &str); 13] = [
    ("AWS_SESSION_TOKEN", true, "goes with keys that work for a while only"),
    ("AWS_ROLE_ARN", false, "the role whose keys are asked for with a web identity"),
    ("AWS_ROLE_SESSION_NAME", false, "the name under which it is taken on"),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", false, "the web identity (EKS)"),
    ("AWS_ENDPOINT_URL_STS", false, "where keys are asked for with a web identity"),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", false, "where a container asks for keys (ECS)"),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", false, "where a container asks for keys (EKS)"),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", false, "the token that it asks with"),
    ("AWS_METADATA_ENDPOINT", false, "where an instance asks for keys (EC2)"),
    ("AWS_SERVER_SIDE_ENCRYPTION", false, "how objects are encrypted: AES256, aws:kms, aws:kms:dsse"),
    ("AWS_SSE_KMS_KEY_ID", false, "the key that they are encrypted with"),
    ("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", false, "the bucket's name stands in the host's (true, false)"),
    ("AWS_DISABLE_BULK_DELETE", false, "delete objects one by one, where S3 cannot do many (true, false)"),
];

/// See the fields.
#[derive(Debug, Clone)]
pub struct S3Config {
    /// S3_BUCKET_NAME.
    pub bucket: String,
    /// S3_ENDPOINT: another S3 than that of AWS. No `/` at its end.
    pub endpoint: Option<String>,
    /// S3_REGION, AWS_REGION or AWS_DEFAULT_REGION.
    pub region: String,
    /// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. None: the machine's role has some.
    pub keys: Option<(Secret, Secret)>,
    /// What else the S3 client is told, each by its variable's name.
    pub aws: Vec<(&'static str, Secret)>,
    /// S3_REDIRECT: who watches is sent on to a signed URL, instead of getting the files from us.
    pub redirect: bool,
    /// S3_URL_EXPIRES: how long such a URL works.
    pub url_expires: Duration,
    /// EXTRA_CA_FILE: trusted beside the system's certificates.
    pub extra_ca_file: Option<PathBuf>,
}

impl S3Config {
    /// None without S3_RECORDING. Then no other of these variables matters.
    pub(super) fn from_env(env: &mut Env<'_>, extra_ca_file: Option<PathBuf>) -> Option<S3Config> {
        if !env.flag("S3_RECORDING", false, "the files of recordings are in S3, not in directories") {
            return None;
        }
        let bucket = env.text("S3_BUCKET_NAME", "", "the bucket");
        if !is_bucket(&bucket) {
            env.mistake("S3_BUCKET_NAME", "must be a bucket's name: 3 to 63 letters, digits, . - and _");
        }
        let endpoint = env.url("S3_ENDPOINT", "", "another S3 than that of AWS: its URL");
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
                env.optional(name, "the region of the bucket (the first of these that is set)")
            })
            .next();
        if region.is_none() && at_aws {
            env.mistake("S3_REGION", "must be the bucket's region: eu-central-1");
        }
        let id = env.secret("AWS_ACCESS_KEY_ID", "the key's name");
        let key = env.secret("AWS_SECRET_ACCESS_KEY", "the key");
        let aws: Vec<(&'static str, Secret)> = AWS
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
        let asks =
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
                // Only a machine at AWS has a role to ask.
                if !at_aws && !asks {
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
            redirect: env.flag("S3_REDIRECT", false, "who watches is sent on to a signed URL of the bucket"),
            url_expires: Duration::from_secs(env.number(
                "S3_URL_EXPIRES",
                3600u64,
                |n| (1..=LONGEST_URL).contains(n),
                "must be a number of seconds from 1 to 604800",
                "how long such a URL works, seconds",
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
    let must =
        "must be https://host or, for another S3 than that of AWS, http://host, with a port if need be";
    let url = Url::parse(text).map_err(|_| must)?;
    let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    let is_fine = matches!(url.scheme(), "http" | "https") && url.has_host() && is_plain;
    // What goes to AWS goes encrypted.
    let is_open =
        url.scheme() == "http" && url.host_str().is_some_and(|host| host.ends_with(".amazonaws.com"));
    if !is_fine || url.password().is_some() || is_open {
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
    fn good_values_are_taken_and_secrets_are_not_shown() {
        let config = read(&[&GOOD[..], &[("AWS_SESSION_TOKEN", "SThidden")]].concat()).unwrap();
        let s3 = config.recordings.s3.as_ref().unwrap();
        assert_eq!(s3.endpoint.as_deref(), Some("http://minio:9000"));
        assert_eq!((s3.region.as_str(), s3.redirect, s3.url_expires.as_secs()), ("us-east-1", false, 3600));
        let shown = format!("{config:?}{s3:?}");
        // What `sl config` masks is in the settings, with a flag.
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
    fn without_s3_nothing_of_it_matters() {
        assert!(read(&[("S3_BUCKET_NAME", "!"), ("S3_ENDPOINT", "x")]).unwrap().recordings.s3.is_none());
    }

    #[test]
    fn what_is_wrong_or_missing_is_named() {
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
            let told = mistake(&vars);
            assert!(told.starts_with(says), "{told}");
        }
        assert!(mistake(&[("S3_ENDPOINT", "")]).starts_with("S3_REGION must be"));
        let neither = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")];
        assert!(mistake(&neither).starts_with("AWS_ACCESS_KEY_ID must be set with S3_ENDPOINT"));
    }
}
