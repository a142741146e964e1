//! What the fields of a server may be, for commands that add or change one. The scripts check the same, since
//! they can be run by hand; these errors say more.

/// Longest field, bytes.
const MAX_BYTES: usize = 1024;

/// A value that a server must not have: what is wrong with it, and what a valid one is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FieldError(String);

fn refuse<T>(reason: impl Into<String>) -> Result<T, FieldError> {
    Err(FieldError(reason.into()))
}

/// Checks what all fields have in common.
fn check_text(name: &str, value: &str) -> Result<(), FieldError> {
    if value.is_empty() {
        return refuse(format!("the {name} must not be empty"));
    }
    if value.len() > MAX_BYTES {
        return refuse(format!("the {name} must not be longer than {MAX_BYTES} bytes"));
    }
    if value.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return refuse(format!("the {name} must not contain spaces or control characters"));
    }
    Ok(())
}

/// Checks an id: letters, digits, and what host names and addresses have beside them.
pub fn check_id(id: &str) -> Result<(), FieldError> {
    check_text("id", id)?;
    match id.chars().all(|c| c.is_ascii_alphanumeric() || "._-:[]".contains(c)) {
        true => Ok(()),
        false => refuse(format!("the id `{id}` must consist of letters, digits, and any of . _ - :")),
    }
}

/// Checks a secret; the error does not contain it.
pub fn check_secret(secret: &str) -> Result<(), FieldError> {
    check_text("secret", secret)
}

/// Checks a tag: a create asks for tags as `a;b` or `a;b!`, and for servers without one as `none`.
pub fn check_tag(tag: &str) -> Result<(), FieldError> {
    check_text("tag", tag)?;
    if tag.contains([';', '!']) {
        return refuse(format!("the tag `{tag}` must not contain ; or !, which combine tags in a create"));
    }
    match tag {
        "none" => refuse("the tag must not be `none`, which means servers without a tag"),
        _ => Ok(()),
    }
}

/// Checks a load multiplier.
pub fn check_multiplier(multiplier: f64) -> Result<(), FieldError> {
    match multiplier > 0.0 && multiplier.is_finite() {
        true => Ok(()),
        false => refuse("the load multiplier must be a number above 0"),
    }
}

/// Checks the URL of an API endpoint. Returns it as it is recorded, host in lower case and without a slash at
/// its end; and its host.
pub fn read_url(text: &str) -> Result<(String, String), FieldError> {
    let must = "it must be a complete API endpoint, such as https://bbb1.example.com/bigbluebutton/api";
    check_text("url", text)?;
    let Ok(url) = url::Url::parse(text) else { return refuse(format!("`{text}` is not a URL: {must}")) };
    if !url.username().is_empty() || url.password().is_some() {
        return refuse(format!("the url must not contain credentials: {must}"));
    }
    if !matches!(url.scheme(), "http" | "https") {
        return refuse(format!("`{text}` does not begin with http:// or https://: {must}"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return refuse(format!("the url must have no query and no fragment: {must}"));
    }
    let recorded = url.as_str().trim_end_matches('/');
    if !url.path().trim_end_matches('/').ends_with("/api") {
        return refuse(format!("`{text}` does not end in /api: {must}"));
    }
    match url.host_str() {
        Some(host) => Ok((recorded.to_owned(), host.to_owned())),
        None => refuse(format!("`{text}` has no host: {must}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_break_requests_are_refused_with_the_reason() {
        let says = |result: Result<(), FieldError>, expected: &str| {
            let error = result.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        says(check_id(""), "must not be empty");
        says(check_id("a b"), "spaces");
        says(check_id("a\nb"), "control characters");
        says(check_id("{sl}"), "letters, digits");
        says(check_id("bücher"), "letters, digits");
        says(check_id(&"x".repeat(1025)), "longer than 1024 bytes");
        says(check_secret(""), "must not be empty");
        says(check_secret("a\tb"), "spaces");
        says(check_tag("gpu!"), "must not contain ; or !");
        says(check_tag("a;c"), "must not contain ; or !");
        says(check_tag("a b"), "spaces");
        says(check_tag("none"), "servers without a tag");
        for multiplier in [0.0, -1.0, f64::INFINITY, f64::NAN] {
            says(check_multiplier(multiplier), "above 0");
        }
        for (url, expected) in [
            ("", "must not be empty"),
            ("bbb1.example.com", "is not a URL"),
            ("ftp://h/api", "does not begin with http"),
            ("https://u@h/bigbluebutton/api", "credentials"),
            ("https://u:p@h/bigbluebutton/api", "credentials"),
            ("https://h/bigbluebutton/api?x", "no query"),
            ("https://h/bigbluebutton/api#x", "no fragment"),
            ("https://h/bigbluebutton", "does not end in /api"),
            (" https://h/api", "spaces"),
        ] {
            says(read_url(url).map(drop), expected);
        }
    }

    #[test]
    fn values_of_real_pools_are_taken() {
        for id in ["2d2d674a-c6bb-48f3-8ad4-68f33a80a5b7", "bbb1.example.com", "[::1]", "bbb_1:8090"] {
            assert_eq!(check_id(id), Ok(()));
        }
        assert_eq!((check_tag("gpu-2"), check_secret("8cd8ef52e8e101574e400365b55e11a6")), (Ok(()), Ok(())));
        assert_eq!(check_multiplier(0.5), Ok(()));
        let read = |url: &str| read_url(url).unwrap();
        let expected = ("https://bbb1.example.com/bigbluebutton/api", "bbb1.example.com");
        for url in
            ["https://bbb1.example.com/bigbluebutton/api", "HTTPS://BBB1.Example.com:443/bigbluebutton/api/"]
        {
            assert_eq!(read(url), (expected.0.into(), expected.1.into()));
        }
        assert_eq!(
            read("http://127.0.0.1:8090/bigbluebutton/api").0,
            "http://127.0.0.1:8090/bigbluebutton/api"
        );
    }
}
