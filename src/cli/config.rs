//! `sl config`: every setting, its value and its origin.

use super::out::Out;
use crate::config::{Config, Setting, SettingSource};
use comfy_table::{Table, presets};

/// Masks secrets without --show-secrets.
pub fn config(config: &Config, out: Out) -> anyhow::Result<()> {
    let mut settings: Vec<Setting> = config.settings.clone();
    settings.sort_by_key(|s| s.name);
    for setting in &mut settings {
        if setting.secret && !setting.value.is_empty() && !out.show_secrets {
            setting.value = "***".to_owned();
        }
    }
    if out.json {
        return out.value(&settings);
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["SETTING", "VALUE", "FROM", ""]);
    for setting in settings {
        let from = match setting.source {
            SettingSource::Environment => "environment",
            SettingSource::Default => "default",
        };
        table.add_row([setting.name, &setting.value, from, setting.about]);
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim().to_owned()).collect();
    out.text(lines.join("\n") + "\n")
}
