//! The text of each script: its file in `lua/`, with the library files (`lua/lib/`) that it includes.
//!
//! A line `-- @include NAME, NAME` stands for these library files. Each is expanded once in a script, after
//! the files that it includes itself. Tests fail on an include that does not exist, is not used, or leads
//! back to itself.

macro_rules! files {
    ($directory:literal, $($name:ident),+ $(,)?) => {
        &[$((stringify!($name), include_str!(concat!("../../lua/", $directory, stringify!($name), ".lua")))),+]
    };
}

const LIBRARY: &[(&str, &str)] = files!(
    "lib/",
    add_load,
    begin_rebuild,
    check_field,
    claim_bridge,
    clock,
    count_create,
    current_load,
    drop_meeting,
    expect_poll,
    fenced,
    figures_of,
    hold_server,
    is_at_fault,
    least_loaded,
    meeting_weight,
    meetings_of,
    ms,
    note_failed_create,
    note_figures,
    note_released,
    pick,
    poll_rejected,
    read_server,
    rebuild_index,
    record_meeting,
    resolve_internal,
    set_load,
    url_owner,
    write_record,
);

/// A script with its includes expanded: what Redis runs.
pub(super) fn expand(script: &str) -> String {
    let mut expanded = String::with_capacity(2 * script.len());
    append(script, &mut Vec::new(), &mut expanded);
    expanded
}

fn append<'a>(text: &'a str, included: &mut Vec<&'a str>, to: &mut String) {
    for line in text.lines() {
        let Some(names) = line.strip_prefix("-- @include ") else {
            // One blank line is enough where an include ends.
            if !(line.is_empty() && to.ends_with("\n\n")) {
                to.push_str(line);
                to.push('\n');
            }
            continue;
        };
        for name in names.split(", ") {
            if included.contains(&name) {
                continue;
            }
            included.push(name);
            match LIBRARY.iter().find(|(file, _)| *file == name) {
                Some((_, text)) => {
                    append("\n", included, to);
                    append(text, included, to);
                }
                // Stays where it is, for the test to find.
                None => to.push_str(line),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expand_puts_each_file_once_after_the_files_it_includes() {
        let expanded = expand("-- x: y\n\nlocal P = ''\n-- @include record_meeting, ms\n\nms(1)\n");
        let position = |text: &str| {
            assert_eq!(expanded.matches(text).count(), 1, "{text}: {expanded}");
            expanded.find(text).unwrap()
        };
        let (ms, record) = (position("local function ms("), position("local function record_meeting("));
        assert!(ms < record && position("local function write_record(") < record);
        assert!(expanded.ends_with("\nend\n\nms(1)\n"), "{expanded}");
        assert!(!expanded.contains("@include") && !expanded.contains("\n\n\n"), "{expanded}");
    }

    #[test]
    fn expand_leaves_an_unknown_include_in_the_text() {
        assert!(expand("-- @include nowhere\n").contains("-- @include nowhere"));
    }
}
