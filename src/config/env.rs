//! Reading settings: from an injected reader, so that tests bring an environment of their own.
//! Every setting that is asked for is noted, for `sl config`; every mistake is collected, so that a
//! start names all of them at once.

use serde::Serialize;
use std::collections::HashSet;
use std::str::FromStr;

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The environment.
    Environment,
    /// The default that is built in.
    Default,
}

/// One setting as it is in force.
#[derive(Debug, Clone, Serialize)]
pub struct Setting {
    /// The variable's name.
    pub name: &'static str,
    /// Its value; empty where there is none. Secrets are masked here, see [`Setting::secret`].
    pub value: String,
    /// Where it came from.
    pub source: Source,
    /// What it is, with its unit.
    pub about: &'static str,
    /// The value must not be shown unless asked for.
    #[serde(skip)]
    pub secret: bool,
}

/// Wrong settings: one line each, the variable's name first.
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
    /// Over any reader; `std::env::var` in the program.
    pub fn new(reader: &'r dyn Fn(&str) -> Option<String>) -> Env<'r> {
        Env { reader, settings: Vec::new(), mistakes: Vec::new(), seen: HashSet::new() }
    }

    /// All settings read so far, or all mistakes.
    pub fn finish(self) -> Result<Vec<Setting>, BadSettings> {
        if self.mistakes.is_empty() { Ok(self.settings) } else { Err(BadSettings(self.mistakes)) }
    }

    /// A text; empty counts as unset, as it does for Scalelite's users in /etc/default files.
    pub fn text(&mut self, name: &'static str, default: &str, about: &'static str) -> String {
        self.optional(name, about).unwrap_or_else(|| {
            self.note_default(name, default);
            default.to_owned()
        })
    }

    /// A text that may be missing.
    pub fn optional(&mut self, name: &'static str, about: &'static str) -> Option<String> {
        let value = self.raw(name);
        self.note(name, value.clone().unwrap_or_default(), value.is_some(), about, false);
        value
    }

    /// A secret that may be missing.
    pub fn secret(&mut self, name: &'static str, about: &'static str) -> Option<String> {
        let value = self.raw(name);
        self.note(name, value.clone().unwrap_or_default(), value.is_some(), about, true);
        value
    }

    /// A URL or path that may hold a password: noted without it.
    pub fn url(&mut self, name: &'static str, default: &str, about: &'static str) -> String {
        let value = self.raw(name);
        let given = value.is_some();
        let value = value.unwrap_or_else(|| default.to_owned());
        self.note(name, without_password(&value), given, about, false);
        value
    }

    /// REDIS_NAMESPACE, the one setting whose empty value differs from none.
    pub(super) fn namespace(&mut self) -> String {
        let value = (self.reader)("REDIS_NAMESPACE").map(|v| v.trim().to_owned());
        let given = value.is_some();
        let value = value.unwrap_or_else(|| "scalelite".to_owned());
        let about = "what every key begins with, before a colon (empty: nothing)";
        self.note("REDIS_NAMESPACE", value.clone(), given, about, false);
        value
    }

    /// True or false.
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
        self.note(name, flag.to_string(), given, about, false);
        flag
    }

    /// A number (or anything else that parses) that must pass `valid`; `must` says what it must be.
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
        self.note(name, number.to_string(), given, about, false);
        number
    }

    /// A value with a syntax of its own, read by `parse`, whose error says what it must be.
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

    /// Notes that `name` is wrong; `must` says what it must be.
    pub fn mistake(&mut self, name: &str, must: &str) {
        self.mistakes.push(format!("{name} {must}"));
    }

    fn raw(&self, name: &str) -> Option<String> {
        (self.reader)(name).filter(|value| !value.trim().is_empty())
    }

    fn note(&mut self, name: &'static str, value: String, given: bool, about: &'static str, secret: bool) {
        if self.seen.insert(name) {
            let source = if given { Source::Environment } else { Source::Default };
            self.settings.push(Setting { name, value, source, about, secret });
        }
    }

    fn note_default(&mut self, name: &str, default: &str) {
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
