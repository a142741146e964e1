//! `sl script`: the Lua scripts that Redis runs, for `redis-cli --eval`.

use super::out::Out;
use crate::store::scripts;
use anyhow::Context;
use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use serde_json::json;
use std::ffi::OsStr;

/// Which script.
#[derive(clap::Args)]
pub struct ScriptArgs {
    /// Its name, such as `find`
    #[arg(value_parser = ScriptName, hide_possible_values = true, required_unless_present = "list")]
    name: Option<String>,
    /// List the scripts, and what each is for
    #[arg(long, conflicts_with = "name")]
    list: bool,
}

/// Prints a script with its includes expanded, or the list.
pub fn script(args: ScriptArgs, out: Out) -> anyhow::Result<()> {
    let Some(name) = args.name else { return list(out) };
    let text =
        scripts::text(&name).with_context(|| format!("there is no script {name}: see `sl script --list`"))?;
    if out.json { out.value(&json!({ "name": name, "text": text })) } else { out.text(text) }
}

fn list(out: Out) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for &name in scripts::NAMES {
        rows.push((name, scripts::summary(name).unwrap_or_default()));
    }
    if out.json {
        let rows: Vec<_> = rows.iter().map(|(name, about)| json!({ "name": name, "about": about })).collect();
        return out.value(&rows);
    }
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    out.text(rows.iter().map(|(name, about)| format!("{name:width$}  {about}\n")).collect::<String>())
}

/// Any text, since an unknown name is no wrong usage; shells complete the names of the scripts.
#[derive(Clone)]
struct ScriptName;

impl TypedValueParser for ScriptName {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(scripts::NAMES.iter().map(PossibleValue::new)))
    }
}
