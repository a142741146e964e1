use super::*;
use crate::bbb::Algorithm;
use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_TYPE, HeaderValue};
use proptest::prelude::*;
use std::convert::Infallible;

const SECRET: &str = "639259d4-9dd8-4b25-bf01-95f9567eaf4b";
const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data; boundary=BoUnD";

fn config(more: &[(&str, &str)]) -> Config {
    let read = |name: &str| match name {
        "LOADBALANCER_SECRET" => Some(SECRET.to_owned()),
        _ => more.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()),
    };
    Config::read(&read).unwrap()
}

fn sign(call: Call, query: &str) -> String {
    Algorithm::Sha256.sign(call.name(), query, SECRET)
}

fn check_with(
    config: &Config,
    call: Call,
    raw_query: &str,
    kind: &'static str,
    body: &[u8],
) -> Result<ApiRequest, Rejection> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(http::header::CONTENT_LENGTH, body.len().into());
    let head = RequestHead { call, method: &Method::POST, raw_query, headers: &headers };
    let body = stream::iter([Ok::<_, Infallible>(Bytes::copy_from_slice(body))]);
    let permits = Semaphore::new(1024 * 1024);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let result = runtime.block_on(check(config, &permits, head, body));
    assert_eq!(permits.available_permits(), 1024 * 1024, "every permit is given back");
    result
}

/// A POST whose query is signed.
fn check_signed(call: Call, query: &str, kind: &'static str, body: &[u8]) -> Result<ApiRequest, Rejection> {
    let and = if query.is_empty() { "" } else { "&" };
    let raw_query = format!("{query}{and}checksum={}", sign(call, query));
    check_with(&config(&[]), call, &raw_query, kind, body)
}

fn key(result: Result<ApiRequest, Rejection>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(Rejection::Api(error)) => error.key(),
        Err(Rejection::BadEncoding) => "400",
    }
}

fn multipart(fields: &[(String, String)]) -> Vec<u8> {
    let mut body = String::new();
    for (name, value) in fields {
        body += &format!("--BoUnD\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    }
    (body + "--BoUnD--\r\n").into_bytes()
}

fn urlencoded(fields: &[(String, String)]) -> Vec<u8> {
    let pairs = fields.iter().map(|(name, value)| format!("{}={}", percent(name), percent(value)));
    pairs.collect::<Vec<_>>().join("&").into_bytes()
}

/// Every byte encoded: the names are spelled unlike those of the query, and decode to the same.
fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// The calls whose parameters may stand in a form.
fn calls_with_forms() -> impl Iterator<Item = Call> {
    let config = config(&[]);
    Call::ALL.iter().copied().filter(move |call| call.spec().body.accepts_form() && call.is_signed(&config))
}

#[test]
fn a_form_cannot_replace_signed_parameters_of_any_call() {
    let query = "meetingID=mine&recordID=r1,r2&password=mp&publish=false&state=any&meta_Owner=me&bare&empty=&list[]=1&list[]=2";
    let signed = Params::parse(query).unwrap();
    let names = signed.iter().map(|(name, _)| name.to_owned());
    let names: Vec<String> =
        names.flat_map(|name| [name.to_uppercase(), name.to_lowercase(), name]).collect();
    let mut fields: Vec<_> = names.into_iter().map(|name| (name, "victim".to_owned())).collect();
    fields.push(("added".to_owned(), "yes".to_owned()));
    let mut calls = 0;
    for call in calls_with_forms() {
        for (kind, body) in [(FORM, urlencoded(&fields)), (MULTIPART, multipart(&fields))] {
            let params = check_signed(call, query, kind, &body).unwrap().params;
            let expected = format!("{}&added=yes", signed.encode());
            assert_eq!(params.encode(), expected, "{call:?} {kind}");
        }
        calls += 1;
    }
    assert!(calls >= 10, "{calls}");
}

proptest! {
    #[test]
    fn signed_parameters_reach_the_call_as_they_were_signed(
        query in proptest::collection::vec(("[aAbB%]{1,3}(\\[\\])?|meta_[kK\u{212a}]|.{1,4}", "[^\r\n]{0,5}"), 0..6),
        form in proptest::collection::vec(("[aAbB%]{1,3}(\\[\\])?|meta_[kK\u{212a}]|[a-z]{1,4}", "[^\r\n]{0,5}"), 0..12),
        as_multipart in any::<bool>(),
    ) {
        let pairs = query.iter().map(|(name, value)| format!("{}={}", percent(name), percent(value)));
        let query = pairs.collect::<Vec<_>>().join("&");
        let signed = Params::parse(&query).unwrap();
        prop_assume!(!signed.contains("checksum") && form.iter().all(|(name, _)| name != "checksum"));
        let (kind, body) = match as_multipart {
            true => (MULTIPART, multipart(&form)),
            false => (FORM, urlencoded(&form)),
        };
        let reached = check_signed(Call::End, &query, kind, &body).unwrap().params;
        let reached: Vec<_> = reached.iter().collect();
        let signed: Vec<_> = signed.iter().collect();
        // What is signed comes first and unchanged; what follows has other names.
        prop_assert_eq!(&reached[..signed.len()], &signed[..]);
        for (name, _) in &reached[signed.len()..] {
            let names_it = |(other, _): &(&str, _)| other.to_lowercase() == name.to_lowercase();
            prop_assert!(!signed.iter().any(names_it), "{}", name);
        }
    }

    #[test]
    fn no_body_without_a_valid_checksum_reaches_a_call(
        body in "(checksum=[0-9a-f]{0,64}|meetingID=m|%63hecksum=a|&|--BoUnD\r\n|name=\"checksum\"|\r\n|x){0,10}",
        as_multipart in any::<bool>(),
    ) {
        let kind = if as_multipart { MULTIPART } else { FORM };
        let result = check_with(&config(&[]), Call::End, "meetingID=m", kind, body.as_bytes());
        prop_assert_eq!(key(result), "checksumError");
    }
}

#[test]
fn a_checksum_in_a_form_counts_once_and_in_one_spelling() {
    let sum = sign(Call::End, "meetingID=mine");
    let ask =
        |query: &str, body: String| key(check_with(&config(&[]), Call::End, query, FORM, body.as_bytes()));
    assert_eq!(ask("meetingID=mine", format!("password=p&checksum={sum}")), "ok");
    for (query, body) in [
        ("meetingID=mine", format!("checksum={sum}&checksum={sum}")),
        ("meetingID=mine", format!("checksum={sum}&%63hecksum=x")),
        ("meetingID=mine", format!("checksum={sum}&checksum")),
        ("meetingID=mine", format!("%63hecksum={sum}")),
        (&format!("meetingID=mine&checksum={sum}"), format!("checksum={sum}")),
        (&format!("meetingID=mine&checksum={sum}"), format!("%63hecksum={sum}")),
        (&format!("meetingID=mine&%63hecksum={sum}"), "a=b".to_owned()),
        (&format!("meetingID=mine&%63hecksum={sum}&checksum={sum}"), "a=b".to_owned()),
    ] {
        assert_eq!(ask(query, body.clone()), "checksumError", "{query} {body}");
    }
    let fields = [("checksum".to_owned(), sum), ("meetingID".to_owned(), "victim".to_owned())];
    let request = check_with(&config(&[]), Call::End, "meetingID=mine", MULTIPART, &multipart(&fields));
    assert_eq!(request.unwrap().params.encode(), "meetingID=mine");
}

#[test]
fn a_setting_refuses_checksums_in_forms() {
    let config = config(&[("ALLOW_BODY_CHECKSUM", "false")]);
    for call in calls_with_forms() {
        let body = format!("meetingID=m&checksum={}", sign(call, ""));
        assert_eq!(key(check_with(&config, call, "", FORM, body.as_bytes())), "checksumError", "{call:?}");
        let in_query = format!("checksum={}", sign(call, ""));
        assert_eq!(key(check_with(&config, call, &in_query, FORM, b"meetingID=m")), "ok", "{call:?}");
    }
}

#[test]
fn an_unsigned_form_is_not_parsed() {
    // Parsing would find the invalid encoding first.
    for kind in [FORM, MULTIPART] {
        let body = b"--BoUnD\r\nname=%zz&checksum=0123456789012345678901234567890123456789";
        assert_eq!(key(check_with(&config(&[]), Call::Create, "", kind, body)), "checksumError");
    }
    let body = format!("name=%zz&checksum={}", sign(Call::Create, ""));
    assert_eq!(key(check_with(&config(&[]), Call::Create, "", FORM, body.as_bytes())), "400");
}

#[test]
fn the_limit_of_a_form_depends_on_where_its_checksum_is() {
    let large = format!("meetingID=m&welcome={}", "x".repeat(300 * 1024));
    assert_eq!(key(check_signed(Call::Create, "", FORM, large.as_bytes())), "ok");
    let unsigned = format!("{large}&checksum={}", sign(Call::Create, ""));
    let result = check_with(&config(&[]), Call::Create, "", FORM, unsigned.as_bytes());
    assert_eq!(key(result), "requestTooLarge");
}

#[test]
fn forwarded_hosts_count_only_if_url_host_allows_them() {
    let base = |url_host: &str, forwarded: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("sl.example.org"));
        headers.insert("x-forwarded-host", HeaderValue::from_static(forwarded));
        headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
        base_url(&config(&[("URL_HOST", url_host)]), &headers)
    };
    assert_eq!(base("", "evil.example.org"), "https://sl.example.org");
    assert_eq!(base("example.org", "evil.org"), "https://sl.example.org");
    assert_eq!(base("example.org", "outer.example.org:8443"), "https://outer.example.org:8443");
    assert_eq!(base("example.org", "evil/.example.org"), "https://sl.example.org");
}
