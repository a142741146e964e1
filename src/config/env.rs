//! Reading settings from an injected reader, so that tests can use an environment of their own. Records every
//! setting for `sl config`, and collects all mistakes, so that a start reports all of them together.

use super::mask::{UrlUser, mask_url};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::HashSet;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// The shortest duration that a setting may have, seconds: timers of 0 do not work.
const MIN_SECONDS: f64 = 0.001;

/// The longest: a year.
const MAX_SECONDS: f64 = 31_536_000.0;

/// The origin of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SettingSource {
    /// The environment.
    Environment,
    /// The built-in default.
    Default,
}

/// What becomes of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SettingStatus {
    /// Read and obeyed.
    Used,
    /// A variable of Scalelite's that is not needed here. A start names it in a notice.
    NoEffect,
    /// A variable of Scalelite's that does not work here yet. It stops the start.
    Refused,
    /// The value is invalid. It stops the start.
    Invalid,
}

/// A setting and its current value.
#[derive(Debug, Clone, Serialize)]
pub struct Setting {
    /// The variable's name.
    pub name: Cow<'static, str>,
    /// Its value; empty if unset. Not masked, even if it is a secret.
    pub value: String,
    /// Its origin.
    pub source: SettingSource,
    /// What becomes of it.
    pub status: SettingStatus,
    /// Its description, with the unit; of a variable that is not used, the reason.
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
    notices: Vec<String>,
    seen: HashSet<Cow<'static, str>>,
    quoted: Vec<String>,
}

/// What reading an environment has found.
pub(super) struct Findings {
    /// All settings.
    pub(super) settings: Vec<Setting>,
    /// What operators should know, although it does not stop the start: one line each.
    pub(super) notices: Vec<String>,
    /// All mistakes.
    pub(super) mistakes: Vec<String>,
}

impl<'r> Env<'r> {
    /// Reads by `reader`: the variables of the process in the program.
    pub fn new(reader: &'r dyn Fn(&str) -> Option<String>) -> Env<'r> {
        Env {
            reader,
            settings: Vec::new(),
            mistakes: Vec::new(),
            notices: Vec::new(),
            seen: HashSet::new(),
            quoted: Vec::new(),
        }
    }

    /// All settings, notices and mistakes.
    pub(super) fn finish(mut self) -> Findings {
        for setting in &mut self.settings {
            let is_named = |line: &String| line.split(' ').next() == Some(setting.name.as_ref());
            if setting.status == SettingStatus::Used && self.mistakes.iter().any(is_named) {
                setting.status = SettingStatus::Invalid;
            }
        }
        if !self.quoted.is_empty() {
            let names = self.quoted.join(", ");
            self.notices.push(format!("ignored the quotes around the values of {names} (Docker keeps them)"));
        }
        Findings { settings: self.settings, notices: self.notices, mistakes: self.mistakes }
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

    /// An optional secret. Quotes around it are refused: with Docker's --env-file they would have been part of
    /// Scalelite's secret too, so it is not clear which one the clients have.
    pub fn secret(&mut self, name: &'static str, about: &'static str) -> Option<String> {
        let value = self.raw(name);
        if self.quoted.last().is_some_and(|quoted| quoted == name) {
            self.quoted.pop();
            self.mistake(name, "must not be in quotes (Docker's --env-file makes them a part of the value)");
        }
        self.record(name, value.clone().unwrap_or_default(), value.is_some(), about, true);
        value
    }

    /// A URL that may contain a password: recorded without it.
    pub fn url(&mut self, name: &'static str, default: &str, user: UrlUser, about: &'static str) -> String {
        let value = self.raw(name);
        let given = value.is_some();
        let value = value.unwrap_or_else(|| default.to_owned());
        self.record(name, mask_url(&value, user), given, about, false);
        value
    }

    /// A directory: an absolute path. It need not exist.
    pub fn directory(&mut self, name: &'static str, default: &str, about: &'static str) -> PathBuf {
        let path = PathBuf::from(self.text(name, default, about));
        if !path.is_absolute() {
            self.mistake(name, "must be an absolute path");
        }
        path
    }

    /// REDIS_NAMESPACE, the only setting whose empty value differs from an unset one.
    pub(super) fn namespace(&mut self) -> String {
        let given = (self.reader)("REDIS_NAMESPACE").is_some();
        let value = self.raw("REDIS_NAMESPACE");
        let value = value.unwrap_or_else(|| if given { String::new() } else { "scalelite".to_owned() });
        let about = "prefix of every key, before a colon (empty: no prefix)";
        self.record("REDIS_NAMESPACE", value.clone(), given, about, false);
        value
    }

    /// A boolean. Scalelite switches on what is `true` in any case, and nothing else.
    pub fn flag(&mut self, name: &'static str, default: bool, about: &'static str) -> bool {
        let value = self.raw(name);
        let given = value.is_some();
        let flag = match value.as_deref().map(parse_flag) {
            None => default,
            Some(Some(flag)) => flag,
            Some(None) => {
                self.mistake(name, "must be true or false");
                default
            }
        };
        self.record(name, flag.to_string(), given, about, false);
        flag
    }

    /// A number (or anything else that parses) that must satisfy `valid`; `must` describes valid values. A whole
    /// number may be written with a fraction of zeros.
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
        let parse =
            |text: &str| text.parse::<T>().or_else(|error| without_zeros(text).parse().or(Err(error)));
        let number = match value.as_deref().map(parse) {
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

    /// A duration in seconds, fractions allowed: a millisecond to a year.
    pub fn seconds(&mut self, name: &'static str, default: f64, about: &'static str) -> Duration {
        let valid = |seconds: &f64| (MIN_SECONDS..=MAX_SECONDS).contains(seconds);
        let must = "must be a number of seconds above 0";
        Duration::from_secs_f64(self.number(name, default, valid, must, about))
    }

    /// A duration in minutes, fractions allowed: a second to a year.
    pub fn minutes(&mut self, name: &'static str, default: f64, about: &'static str) -> Duration {
        let valid = |minutes: &f64| (1.0..=MAX_SECONDS).contains(&(minutes * 60.0));
        let must = "must be a number of minutes above 0";
        Duration::from_secs_f64((self.number(name, default, valid, must, about) * 60.0).round())
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

    /// A variable that `sl` does not use, if it is set. `status` judges its value, `about` gives the reason.
    pub(super) fn unused(
        &mut self,
        name: Cow<'static, str>,
        status: impl Fn(&str) -> SettingStatus,
        about: &'static str,
    ) -> Option<SettingStatus> {
        let value = self.raw(&name)?;
        let status = status(&value);
        if self.seen.insert(name.clone()) {
            let (source, secret) = (SettingSource::Environment, has_secret(&name));
            self.settings.push(Setting { name, value, source, status, about, secret });
        }
        Some(status)
    }

    /// Records that the value of `name` is invalid; `must` describes valid values.
    pub fn mistake(&mut self, name: &str, must: &str) {
        let line = format!("{name} {must}");
        if !self.mistakes.contains(&line) {
            self.mistakes.push(line);
        }
    }

    /// Records what operators should know, although it does not stop the start.
    pub(super) fn notice(&mut self, line: String) {
        self.notices.push(line);
    }

    /// The value without what surrounds it in files that were edited on Windows (carriage returns) or written for
    /// a shell (quotes). None if nothing is left.
    fn raw(&mut self, name: &str) -> Option<String> {
        let given = (self.reader)(name)?;
        let trimmed = given.trim_matches(is_margin);
        let unquoted =
            ['"', '\''].iter().find_map(|quote| trimmed.strip_prefix(*quote)?.strip_suffix(*quote));
        let value = unquoted.unwrap_or(trimmed).trim_matches(is_margin);
        if value.contains(char::REPLACEMENT_CHARACTER) {
            self.mistake(name, "must be UTF-8");
        } else if value.contains(char::is_control) {
            self.mistake(name, "must not contain control characters");
        }
        if unquoted.is_some() && !value.is_empty() && !self.quoted.iter().any(|quoted| quoted == name) {
            self.quoted.push(name.to_owned());
        }
        Some(value.to_owned()).filter(|value| !value.is_empty())
    }

    fn record(&mut self, name: &'static str, value: String, given: bool, about: &'static str, secret: bool) {
        if self.seen.insert(name.into()) {
            let source = if given { SettingSource::Environment } else { SettingSource::Default };
            let (name, status) = (name.into(), SettingStatus::Used);
            self.settings.push(Setting { name, value, source, status, about, secret });
        }
    }

    fn record_default(&mut self, name: &str, default: &str) {
        if let Some(setting) = self.settings.iter_mut().find(|s| s.name == name) {
            setting.value = default.to_owned();
        }
    }
}

/// None if it is neither.
pub(super) fn parse_flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// White space, and the byte order mark of an editor on Windows.
fn is_margin(c: char) -> bool {
    c.is_whitespace() || c == '\u{feff}'
}

/// `60` for `60.0`.
fn without_zeros(text: &str) -> &str {
    match text.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|b| b == b'0') => whole,
        _ => text,
    }
}

/// Whether the value of a variable that is not ours may be secret, by its name.
fn has_secret(name: &str) -> bool {
    ["PASSWORD", "SECRET", "KEY", "TOKEN", "SENTINEL"].iter().any(|word| name.contains(word))
}
