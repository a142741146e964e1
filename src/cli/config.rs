//! `sl config`: every setting, its value, its origin, and what becomes of it.

use super::out::Out;
use crate::config::{self, Config, Inspection, Setting, SettingSource, SettingStatus};
use anyhow::{Context, anyhow, bail};
use comfy_table::{Table, presets};
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct ConfigArgs {
    /// Read this file instead of the environment, such as /etc/default/scalelite
    #[arg(long)]
    file: Option<PathBuf>,
}

/// Prints the settings, also if some would stop the start; then it fails after it has printed them. Masks secrets
/// without --show-secrets.
pub fn config(args: ConfigArgs, out: Out) -> anyhow::Result<()> {
    let variables = match args.file {
        None => config::process_variables(),
        Some(path) => {
            let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let text = String::from_utf8_lossy(&bytes);
            config::parse_env_file(&text).map_err(|wrong| anyhow!("{}: {wrong}", path.display()))?
        }
    };
    let Inspection { mut settings, notices, mistakes } = Config::inspect(&variables);
    settings.sort_by(|a, b| a.name.cmp(&b.name));
    for setting in &mut settings {
        if setting.secret && !setting.value.is_empty() && !out.show_secrets {
            setting.value = "***".to_owned();
        }
    }
    if out.json {
        out.value(&settings)?;
    } else {
        out.text(table(&settings))?;
        for notice in notices {
            out.text(format!("{notice}\n"))?;
        }
    }
    if !mistakes.is_empty() {
        bail!("{}", mistakes.join("\n"));
    }
    Ok(())
}

fn table(settings: &[Setting]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["SETTING", "VALUE", "FROM", "STATUS", ""]);
    for setting in settings {
        let from = match setting.source {
            SettingSource::Environment => "environment",
            SettingSource::Default => "default",
        };
        let status = match setting.status {
            SettingStatus::Used => "used",
            SettingStatus::NoEffect => "no effect",
            SettingStatus::Refused => "refused",
            SettingStatus::Invalid => "invalid",
        };
        table.add_row([&setting.name, setting.value.as_str(), from, status, setting.about]);
    }
    table.lines().map(|line| line.trim().to_owned() + "\n").collect()
}
