//! Request parameters: decoded, in order, with `a` and `a=` distinguished.

use percent_encoding::percent_decode;
use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

/// Invalid percent-encoding (`%zz`, `%4`), or bytes that are not UTF-8. The response is status 400 with an
/// empty body, as from a running Scalelite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the parameters are not percent-encoded UTF-8")]
pub struct BadEncoding;

/// An ordered list of parameters. Names are unique: of two values the last one wins, in the position of the
/// first, as in the web frameworks that BBB clients were written against. Names that end in `[]` are lists, and keep
/// all their values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, Option<String>)>);

impl Params {
    /// Parses `a=1&b&c=%20`: a query or the body of a form. Takes time in proportion to its length.
    pub fn parse(raw: &str) -> Result<Params, BadEncoding> {
        let mut params = ParamsBuilder::default();
        for pair in raw.split('&').filter(|p| !p.is_empty()) {
            match pair.split_once('=') {
                Some((name, value)) => params.add(decode(name)?, Some(decode(value)?)),
                None => params.add(decode(pair)?, None),
            }
        }
        Ok(params.finish())
    }

    /// Appends the parameters of a form, which no checksum covers, to those of the query. A name that the query has, in
    /// upper or lower case, is not taken from the form: BBB and our own calls read `meta_A` and `meta_a` as one.
    pub fn append_unsigned(&mut self, form: Params) {
        if self.0.is_empty() {
            self.0 = form.0;
            return;
        }
        let signed: HashSet<String> = self.0.iter().map(|(name, _)| name.to_lowercase()).collect();
        self.0.extend(form.0.into_iter().filter(|(name, _)| !signed.contains(&name.to_lowercase())));
    }

    /// The value of `name`; an empty string if it has no `=`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_deref().unwrap_or(""))
    }

    /// The value of `name` unless it is absent or blank.
    pub fn present(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|v| !v.trim().is_empty())
    }

    /// True if `name` is there, with or without a value.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Sets `name`, in its old position if it has one.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.put(name.into(), Some(value.into()));
    }

    /// Sets `name` unless it is there already.
    pub fn set_default(&mut self, name: &str, value: &str) {
        if !self.contains(name) {
            self.0.push((name.into(), Some(value.into())));
        }
    }

    /// Removes `name` in every mix of upper and lower case, and returns the value of the last one.
    pub fn remove_any_case(&mut self, name: &str) -> Option<String> {
        let mut value = None;
        self.0.retain_mut(|(n, v)| {
            let is_it = n.eq_ignore_ascii_case(name);
            if is_it {
                value = Some(v.take().map_or_else(String::new, Into::into));
            }
            !is_it
        });
        value
    }

    /// Removes `name` and returns its value: the first one of a list.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(n, _)| n == name)?;
        let (_, value) = self.0.remove(at);
        if is_list(name) {
            self.0.retain(|(n, _)| n != name);
        }
        value
    }

    /// All parameters, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_deref()))
    }

    /// True without any parameter.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `application/x-www-form-urlencoded`, in order: the bytes that are signed and sent.
    pub fn encode(&self) -> String {
        let mut out = String::with_capacity(self.0.len() * 24);
        for (name, value) in &self.0 {
            if !out.is_empty() {
                out.push('&');
            }
            out.extend(form_urlencoded::byte_serialize(name.as_bytes()));
            if let Some(value) = value {
                out.push('=');
                out.extend(form_urlencoded::byte_serialize(value.as_bytes()));
            }
        }
        out
    }

    fn put(&mut self, name: String, value: Option<String>) {
        let Some(at) = self.0.iter().position(|(n, _)| *n == name) else {
            return self.0.push((name, value));
        };
        if is_list(&name) {
            let mut position = 0..;
            self.0.retain(|(n, _)| position.next() <= Some(at) || *n != name);
        }
        self.0[at].1 = value;
    }
}

/// Whether a parameter may have several values.
fn is_list(name: &str) -> bool {
    name.ends_with("[]")
}

/// Collects parameters, each in constant time: a hostile form may have hundreds of thousands.
#[derive(Default)]
pub struct ParamsBuilder {
    params: Vec<(String, Option<String>)>,
    /// The positions of the names. None while a linear search is faster.
    places: Option<HashMap<String, usize>>,
}

impl ParamsBuilder {
    /// More names than this are searched by a hash.
    const MAX_LINEAR_NAMES: usize = 64;

    /// Adds a parameter. The last value of a name wins, unless the name is a list.
    pub fn add(&mut self, name: String, value: Option<String>) {
        if is_list(&name) {
            return self.params.push((name, value));
        }
        if self.places.is_none() && self.params.len() < Self::MAX_LINEAR_NAMES {
            match self.params.iter_mut().find(|(n, _)| *n == name) {
                Some(slot) => slot.1 = value,
                None => self.params.push((name, value)),
            }
            return;
        }
        let params = &mut self.params;
        let places = self.places.get_or_insert_with(|| {
            params.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect()
        });
        match places.entry(name) {
            Entry::Occupied(place) => params[*place.get()].1 = value,
            Entry::Vacant(place) => {
                params.push((place.key().clone(), value));
                place.insert(params.len() - 1);
            }
        }
    }

    /// The parameters.
    pub fn finish(self) -> Params {
        Params(self.params)
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Params {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(iter: I) -> Self {
        let mut params = ParamsBuilder::default();
        for (name, value) in iter {
            params.add(name.into(), Some(value.into()));
        }
        params.finish()
    }
}

fn decode(raw: &str) -> Result<String, BadEncoding> {
    let bytes = raw.as_bytes();
    if !bytes.iter().any(|b| matches!(b, b'%' | b'+')) {
        return Ok(raw.to_owned());
    }
    let mut at = 0;
    while let Some(next) = memchr::memchr(b'%', &bytes[at..]) {
        let digits = bytes.get(at + next + 1..at + next + 3).ok_or(BadEncoding)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(BadEncoding);
        }
        at += next + 3;
    }
    let spaced = match memchr::memchr(b'+', bytes) {
        Some(_) => Cow::Owned(raw.replace('+', " ")),
        None => Cow::Borrowed(raw),
    };
    match percent_decode(spaced.as_bytes()).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(BadEncoding),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn order_bare_names_and_brackets_are_kept() {
        let params = Params::parse("b=2&&bare&a[]=1&empty=&b=3").unwrap();
        assert_eq!(params.encode(), "b=3&bare&a%5B%5D=1&empty=");
        assert_eq!(params.get("bare"), Some(""));
        assert_eq!(params.present("empty"), None);
    }

    #[test]
    fn invalid_percent_encoding_and_invalid_utf8_are_rejected() {
        for bad in ["a=%zz", "a=%4", "a=%", "%f=1", "a=%ff", "a=%C3", "a=%ED%A0%80"] {
            assert_eq!(Params::parse(bad), Err(BadEncoding), "{bad}");
        }
    }

    #[test]
    fn a_form_adds_to_the_query_and_changes_nothing_in_it() {
        let mut params = Params::parse("a=1&b&meta_K=2&l[]=3").unwrap();
        let form = "b=3&A=4&c=x+y%2B&meta_%E2%84%AA=5&%61=6&L[]=7&l[]=8&l=9&c=z&%6Deta_k=10";
        params.append_unsigned(Params::parse(form).unwrap());
        assert_eq!(params.encode(), "a=1&b&meta_K=2&l%5B%5D=3&c=z&l=9");
    }

    #[test]
    fn a_list_keeps_all_values_until_it_is_set_or_removed() {
        let mut params = Params::parse("a[]=1&b=1&a%5B%5D=2&a[]&b=2").unwrap();
        assert_eq!(params.encode(), "a%5B%5D=1&b=2&a%5B%5D=2&a%5B%5D");
        assert_eq!(params.get("a[]"), Some("1"));
        params.set("a[]", "3");
        assert_eq!(params.encode(), "a%5B%5D=3&b=2");
        let mut params = Params::parse("a[]=1&b=1&a[]=2").unwrap();
        assert_eq!(params.remove("a[]").as_deref(), Some("1"));
        assert_eq!(params.encode(), "b=1");
    }

    #[test]
    fn of_100_000_names_the_last_value_wins_too() {
        let mut raw: String = (0..100_000).map(|n| format!("n{n}=1&")).collect();
        raw += "n5=2&n99999=2&n100000=2";
        let params = Params::parse(&raw).unwrap();
        assert_eq!(params.iter().count(), 100_001);
        for name in ["n5", "n99999", "n100000"] {
            assert_eq!(params.get(name), Some("2"));
        }
    }

    #[test]
    fn names_are_removed_in_every_case() {
        let mut params = Params::parse("meta_SL-Mark=1&a=2&META_sl-mark&meta_sl-mark2=3").unwrap();
        assert_eq!(params.remove_any_case("meta_sl-mark").as_deref(), Some(""));
        assert_eq!(params.encode(), "a=2&meta_sl-mark2=3");
        assert_eq!(params.remove_any_case("meta_sl-mark"), None);
    }

    proptest! {
        #[test]
        fn any_text_survives_encode_and_parse(pairs in proptest::collection::btree_map(".{1,20}", ".{0,40}", 0..8)) {
            let params: Params = pairs.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
            let encoded = params.encode();
            prop_assert!(encoded.is_ascii() && !encoded.contains([' ', '"', '\'']));
            prop_assert_eq!(Params::parse(&encoded).unwrap(), params);
        }

        #[test]
        fn parsing_never_panics(raw in "[a-c%0-9A-F=&+]{0,60}") {
            let _ = Params::parse(&raw);
        }
    }
}
