//! The output of commands: text, tables, JSON.

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use std::io::{self, ErrorKind, IsTerminal, Write};

/// The output format.
#[derive(Debug, Clone, Copy)]
pub struct Out {
    /// Print JSON.
    pub json: bool,
    /// Print secrets.
    pub show_secrets: bool,
}

impl Out {
    /// Prints text. A closed pipe (`sl … | head`) is no error.
    pub fn text(&self, text: impl AsRef<str>) -> Result<()> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(text.as_ref().as_bytes()).and_then(|()| stdout.flush()) {
            Err(gone) if gone.kind() == ErrorKind::BrokenPipe => Ok(()),
            done => Ok(done?),
        }
    }

    /// Prints a value as JSON.
    pub fn value(&self, value: &impl Serialize) -> Result<()> {
        self.text(serde_json::to_string_pretty(value)? + "\n")
    }

    /// The secret if secrets are to be printed.
    pub fn secret(&self, secret: &str) -> Option<String> {
        self.show_secrets.then(|| secret.to_owned())
    }
}

/// A table in Scalelite's style: no lines, right-aligned, the first heading centred.
pub fn table(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if !io::stdout().is_terminal() {
        table.force_no_tty();
    }
    let mut heading = comfy_table::Row::new();
    for (n, text) in headings.iter().enumerate() {
        let place = if n == 0 { CellAlignment::Center } else { CellAlignment::Right };
        heading.add_cell(comfy_table::Cell::new(text).set_alignment(place));
    }
    table.set_header(heading);
    for row in rows {
        let cells = row
            .into_iter()
            .map(|text| comfy_table::Cell::new(printable(&text)).set_alignment(CellAlignment::Right));
        table.add_row(comfy_table::Row::from(cells.collect::<Vec<_>>()));
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}

/// Escapes control characters: names come from users, and could contain terminal escapes.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

/// Asks for confirmation on the terminal. Without a terminal, fails with an error that names the option to
/// use instead.
pub fn confirm(question: &str, option: &str) -> Result<()> {
    if !io::stdin().is_terminal() {
        anyhow::bail!("{question} Use {option} to confirm.");
    }
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => anyhow::bail!("cancelled"),
    }
}
