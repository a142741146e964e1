//! Reading settings from an injected reader, so that tests can use an environment of their own. Records every
//! setting for `sl config`, and collects all mistakes, so that a start reports all of them together.

use serde::Serialize;
use std::collections::HashSet;
use std::str::FromStr;
use std::time::Duration;

/// The origin of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SettingSource {
    /// The environment.
    Environment,
    /// The built-in default.
    Default,
}

/// A setting and its current value.
#[derive(Debug, Clone, Serialize)]
pub struct Setting {
    /// The variable's name.
    pub name: &'static str,
    /// Its value; empty if unset. Not masked, even if it is a secret.
    pub value: String,
    /// Its origin.
    pub source: SettingSource,
    /// Its description, with the unit.
    pub about: &'static str,
    /// The value must not be printed without --show-secrets.
    #[serde(skip)]
    pub secret: bool,
}

/// Invalid settings: one line each, which begins with the variable's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct BadSettings(pub Vec<String>);

/// An environment being read.
pub struct Env<'r> {
    reader: &'r dyn Fn(&str) -> Option<String>,
    settings: Vec<Setting>,
    mistakes: Vec<String>,
    seen: HashSet<&'static str>,
}

impl<'r> Env<'r> {
    /// Reads by `reader`: `std::env::var` in the program.
    pub fn new(reader: &'r dyn Fn(&str) -> Option<String>) -> Env<'r> {
        Env { reader, settings: Vec::new(), mistakes: Vec::new(), seen: HashSet::new() }
    }

    /// All settings read so far, or all mistakes.
    pub fn finish(self) -> Result<Vec<Setting>, BadSettings> {
        if self.mistakes.is_empty() { Ok(self.settings) } else { Err(BadSettings(self.mistakes)) }
    }

    /// A text. An empty value counts as unset, as users of Scalelite write it in /etc/default files.
    pub fn text(&mut self, name: &'static str, default: &str, about: &'static str) -> String {
        self.optional(name, about).unwrap_or_else(|| {
            self.record_default(name, default);
            default.to_owned()
        })
    }

    /// An optional text.
    pub fn optional(&mut self, name: &'static str, about: &'static str) -> Option<String> {
        let value = self.raw(name);
        self.record(name, value.clone().unwrap_or_default(), value.is_some(), about, false);
        value
    }

    /// An optional secret.
    pub fn secret(&mut self, name: &'static str, about: &'static str) -> Option<String> {
        let value = self.raw(name);
        self.record(name, value.clone().unwrap_or_default(), value.is_some(), about, true);
        value
    }

    /// A URL or path that may contain a password: recorded without it.
    pub fn url(&mut self, name: &'static str, default: &str, about: &'static str) -> String {
        let value = self.raw(name);
        let given = value.is_some();
        let value = value.unwrap_or_else(|| default.to_owned());
        self.record(name, without_password(&value), given, about, false);
        value
    }

    /// REDIS_NAMESPACE, the only setting whose empty value differs from an unset one.
    pub(super) fn namespace(&mut self) -> String {
        let value = (self.reader)("REDIS_NAMESPACE").map(|v| v.trim().to_owned());
        let given = value.is_some();
        let value = value.unwrap_or_else(|| "scalelite".to_owned());
        let about = "prefix of every key, before a colon (empty: no prefix)";
        self.record("REDIS_NAMESPACE", value.clone(), given, about, false);
        value
    }

    /// A boolean.
    pub fn flag(&mut self, name: &'static str, default: bool, about: &'static str) -> bool {
        let value = self.raw(name);
        let given = value.is_some();
        let flag = match value.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None => default,
            Some("true" | "1" | "yes" | "on") => true,
            Some("false" | "0" | "no" | "off") => false,
            Some(_) => {
                self.mistake(name, "must be true or false");
                default
            }
        };
        self.record(name, flag.to_string(), given, about, false);
        flag
    }

    /// A number (or anything else that parses) that must satisfy `valid`; `must` describes valid values.
    pub fn number<T: FromStr + ToString + Copy>(
        &mut self,
        name: &'static str,
        default: T,
        valid: impl Fn(&T) -> bool,
        must: &str,
        about: &'static str,
    ) -> T {
        let value = self.raw(name);
        let given = value.is_some();
        let number = match value.map(|v| v.trim().parse::<T>()) {
            None => default,
            Some(Ok(number)) if valid(&number) => number,
            Some(_) => {
                self.mistake(name, must);
                default
            }
        };
        self.record(name, number.to_string(), given, about, false);
        number
    }

    /// A duration in seconds, fractions allowed: above 0, up to a year.
    pub fn seconds(&mut self, name: &'static str, default: f64, about: &'static str) -> Duration {
        let valid = |seconds: &f64| *seconds > 0.0 && *seconds <= 31_536_000.0;
        let must = "must be a number of seconds above 0";
        Duration::from_secs_f64(self.number(name, default, valid, must, about))
    }

    /// A duration in whole minutes, 1 or more.
    pub fn minutes(&mut self, name: &'static str, default: u32, about: &'static str) -> Duration {
        let must = "must be a number of minutes, 1 or more";
        Duration::from_secs(60 * u64::from(self.number(name, default, |n| *n >= 1, must, about)))
    }

    /// A value with a syntax of its own, read by `parse`, whose error describes valid values.
    pub fn parsed<T>(
        &mut self,
        name: &'static str,
        default: &str,
        parse: impl Fn(&str) -> Result<T, String>,
        about: &'static str,
    ) -> Option<T> {
        let text = self.text(name, default, about);
        match parse(&text) {
            Ok(value) => Some(value),
            Err(must) => {
                self.mistake(name, &must);
                None
            }
        }
    }

    /// Records that the value of `name` is invalid; `must` describes valid values.
    pub fn mistake(&mut self, name: &str, must: &str) {
        self.mistakes.push(format!("{name} {must}"));
    }

    fn raw(&self, name: &str) -> Option<String> {
        (self.reader)(name).filter(|value| !value.trim().is_empty())
    }

    fn record(&mut self, name: &'static str, value: String, given: bool, about: &'static str, secret: bool) {
        if self.seen.insert(name) {
            let source = if given { SettingSource::Environment } else { SettingSource::Default };
            self.settings.push(Setting { name, value, source, about, secret });
        }
    }

    fn record_default(&mut self, name: &str, default: &str) {
        if let Some(setting) = self.settings.iter_mut().find(|s| s.name == name) {
            setting.value = default.to_owned();
        }
    }
}

/// A URL with its password masked.
pub fn without_password(text: &str) -> String {
    match url::Url::parse(text) {
        Ok(mut url) if url.password().is_some() => {
            let _ = url.set_password(Some("***"));
            url.to_string()
        }
        _ => text.to_owned(),
    }
}
