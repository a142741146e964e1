//! Parameters that the operator adds to, overrides in or removes from every create or join.

use super::Env;
use crate::bbb::Params;

/// Defaults apply first, then the request, then overrides; excluded parameters are removed last.
#[derive(Debug, Clone, Default)]
pub struct CallParameters {
    /// Names of parameters that are not forwarded.
    pub exclude: Vec<String>,
    /// Set if the request does not have them.
    pub default: Vec<(String, String)>,
    /// Set in every request.
    pub overriding: Vec<(String, String)>,
}

impl CallParameters {
    pub(super) fn from_env(env: &mut Env<'_>, names: [&'static str; 3]) -> CallParameters {
        let [exclude, default, overriding] = names;
        CallParameters {
            exclude: env
                .parsed(exclude, "", excluded, "names of parameters to remove, separated by commas")
                .unwrap_or_default(),
            default: env
                .parsed(
                    default,
                    "",
                    pairs,
                    "parameters to add if the request lacks them: a=1,b=2 (\\, is a comma)",
                )
                .unwrap_or_default(),
            overriding: env
                .parsed(overriding, "", pairs, "parameters to set in every request: a=1,b=2 (\\, is a comma)")
                .unwrap_or_default(),
        }
    }

    /// Applies defaults and overrides to a request's parameters.
    pub fn apply(&self, params: &mut Params) {
        for (name, value) in &self.default {
            params.set_default(name, value);
        }
        for (name, value) in &self.overriding {
            params.set(name, value.as_str());
        }
    }

    /// Removes the excluded parameters.
    pub fn strip(&self, params: &mut Params) {
        for name in &self.exclude {
            params.remove(name);
        }
    }
}

/// Splits at commas that are not escaped.
fn split(list: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut chars = list.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek() == Some(&',') => {
                chars.next();
                if let Some(last) = parts.last_mut() {
                    last.push(',');
                }
            }
            ',' => parts.push(String::new()),
            c => {
                if let Some(last) = parts.last_mut() {
                    last.push(c);
                }
            }
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// What is signed, or says which meeting is meant, is not for the operator to change: every call would fail, or all
/// meetings would be one.
fn check_name(name: &str) -> Result<(), String> {
    match name {
        "meetingID" | "checksum" => Err(format!("must not have {name}: it belongs to the client")),
        _ => Ok(()),
    }
}

fn excluded(list: &str) -> Result<Vec<String>, String> {
    let names: Vec<String> = split(list).into_iter().map(|name| name.trim().to_owned()).collect();
    names.iter().try_for_each(|name| check_name(name))?;
    Ok(names)
}

fn pairs(list: &str) -> Result<Vec<(String, String)>, String> {
    split(list)
        .into_iter()
        .map(|pair| match pair.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => {
                check_name(name.trim())?;
                Ok((name.trim().to_owned(), value.to_owned()))
            }
            _ => Err(format!("must be name=value pairs separated by commas, but has `{pair}`")),
        })
        .collect()
}
