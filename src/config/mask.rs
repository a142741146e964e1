//! URLs with their passwords masked, for `sl config`, errors and logs. The URL may be malformed: most are because
//! of a character in their password.

use url::Url;

/// The remedy for a URL that is malformed because of its password.
pub(super) const ENCODE_PASSWORD: &str =
    "in a password, write %40 for @, %3A for :, %2F for /, %3F for ?, %23 for #, %25 for %";

/// Whether an @ stands after the host: then a character in the password has ended the host too early.
pub(super) fn has_stray_at(url: &Url) -> bool {
    let in_query = url.query_pairs().any(|(name, _)| name.contains('@'));
    url.path().contains('@') || url.fragment().is_some_and(|fragment| fragment.contains('@')) || in_query
}

/// What the user in a URL is, when there is no password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlUser {
    /// A name, as in a URL of Postgres.
    Name,
    /// The password itself, as in a URL of Redis.
    Password,
}

const MASK: &str = "***";

/// The URL with passwords masked: before the host, and in the parameters of its query.
pub fn mask_url(text: &str, user: UrlUser) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        // No URL; whatever has an @ may still have a password before it.
        return match text.rsplit_once('@') {
            Some((_, after)) => format!("{MASK}@{}", mask_query(after)),
            None => mask_query(text),
        };
    };
    // The last @, since a password that is not encoded may contain one, and / ? # too. An @ in the path hides more
    // than it must.
    let masked = match rest.rsplit_once('@') {
        None => mask_query(rest),
        Some((user_info, host)) => {
            let shown = match (user_info.split_once(':'), user) {
                (Some((name, _)), _) => format!("{name}:{MASK}"),
                (None, UrlUser::Name) => user_info.to_owned(),
                (None, UrlUser::Password) => MASK.to_owned(),
            };
            // A name with one of these in it is no name, but a part of a malformed URL.
            let shown = if shown.contains(['/', '?', '#']) { MASK.to_owned() } else { shown };
            format!("{shown}@{}", mask_query(host))
        }
    };
    format!("{scheme}://{masked}")
}

/// Masks the values of parameters whose names speak of secrets.
fn mask_query(text: &str) -> String {
    let Some((before, query)) = text.split_once('?') else { return text.to_owned() };
    let is_secret = |name: &str| {
        let name = name.to_ascii_lowercase();
        ["pass", "pw", "secret", "token", "auth"].iter().any(|word| name.contains(word))
    };
    let mask = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if is_secret(name) => format!("{name}={MASK}"),
        _ => pair.to_owned(),
    };
    format!("{before}?{}", query.split('&').map(mask).collect::<Vec<_>>().join("&"))
}

#[cfg(test)]
mod tests {
    use super::{UrlUser::*, *};

    #[test]
    fn passwords_are_masked_in_every_form_of_url() {
        for (url, user, masked) in [
            ("redis://h:6379/0", Password, "redis://h:6379/0"),
            ("redis://user:hush@h/0", Password, "redis://user:***@h/0"),
            ("redis://:hush@h", Password, "redis://:***@h"),
            ("redis://hush@h", Password, "redis://***@h"),
            ("rediss://:hu@s/h#hu?sh@h:1/0", Password, "rediss://:***@h:1/0"),
            ("redis://hu/sh@h", Password, "redis://***@h"),
            ("redis+unix:///run/r.sock?db=1&pass=hush", Password, "redis+unix:///run/r.sock?db=1&pass=***"),
            ("unix://:hush@/run/r.sock?PASSWORD=hush", Password, "unix://:***@/run/r.sock?PASSWORD=***"),
            ("postgres://sl@h/sl", Name, "postgres://sl@h/sl"),
            ("postgres://sl:hush@h/sl?sslpassword=hush", Name, "postgres://sl:***@h/sl?sslpassword=***"),
            ("postgres://h/sl?user=a&password=hush", Name, "postgres://h/sl?user=a&password=***"),
            (":hush@h:6379", Password, "***@h:6379"),
            ("redis:/:hush@h", Password, "***@h"),
            ("https://key:hush@minio:9000", Name, "https://key:***@minio:9000"),
        ] {
            assert_eq!(mask_url(url, user), masked, "{url}");
        }
    }
}
