//! The structure of the source: the layers that `src/lib.rs` promises, and the size of files.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A longer file is two files.
const MAX_LINES: usize = 400;

/// Files below `directory` with this extension, in order.
fn files(directory: &str, extension: &str) -> Vec<PathBuf> {
    let (mut found, mut left) = (Vec::new(), vec![Path::new(ROOT).join(directory)]);
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The modules of lib.rs's table in order, each with the modules that it may use.
fn layers() -> Vec<(String, BTreeSet<String>)> {
    let tour = fs::read_to_string(Path::new(ROOT).join("src/lib.rs")).unwrap();
    let mut layers: Vec<(String, BTreeSet<String>)> = Vec::new();
    for line in tour.lines().filter_map(|line| line.strip_prefix("//! | [`")) {
        let cells: Vec<&str> = line.split(" | ").collect();
        let [module, _, may_use] = cells[..] else {
            panic!("a row of the tour must have three cells: {line}")
        };
        let may_use = match may_use.trim_end_matches(" |") {
            "–" => BTreeSet::new(),
            "all above" => layers.iter().map(|(module, _)| module.clone()).collect(),
            list => list.split(", ").map(str::to_owned).collect(),
        };
        layers.push((module.trim_end_matches("`]").to_owned(), may_use));
    }
    layers
}

/// The module that a file of src/ belongs to; None for lib.rs and main.rs.
fn module(file: &Path) -> Option<String> {
    let inside = file.strip_prefix(Path::new(ROOT).join("src")).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
    let module = first.trim_end_matches(".rs");
    (!matches!(module, "lib" | "main")).then(|| module.to_owned())
}

/// The modules that a line of code names by `crate::ROOM`.
fn used_modules(line: &str) -> Vec<String> {
    let code = line.split("//").next().unwrap();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let after_crate = code.split("crate::").skip(1);
    after_crate.map(|rest| rest.chars().take_while(|c| is_name(*c)).collect()).collect()
}

#[test]
fn modules_import_only_what_the_tour_allows() {
    let layers = layers();
    let allowed: BTreeMap<&str, &BTreeSet<String>> =
        layers.iter().map(|(r, may)| (r.as_str(), may)).collect();
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for file in files("src", "rs") {
        let Some(module) = module(&file) else { continue };
        let Some(may_use) = allowed.get(module.as_str()) else {
            wrong.push(format!("{module} has no row in the table of src/lib.rs"));
            continue;
        };
        let is_top_level = file.parent() == Some(&Path::new(ROOT).join("src"));
        for (number, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            let at = || format!("{}:{}", file.strip_prefix(ROOT).unwrap().display(), number + 1);
            for used in used_modules(line) {
                if used.is_empty() {
                    wrong.push(format!("{}: name one module a line, not crate::{{…}}", at()));
                } else if used != module && !may_use.contains(&used) {
                    wrong.push(format!("{}: {module} must not use {used}", at()));
                }
            }
            if is_top_level && line.starts_with("use super::") {
                wrong.push(format!("{}: spell it crate::", at()));
            }
        }
        seen.insert(module);
    }
    let gone = layers.iter().filter(|(module, _)| !seen.contains(module));
    wrong.extend(gone.map(|(module, _)| format!("{module} is in the table of src/lib.rs, but not in src/")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_tour_lists_lower_modules_first() {
    let mut above = BTreeSet::new();
    for (module, may_use) in layers() {
        let upward: Vec<_> = may_use.difference(&above).collect();
        assert!(upward.is_empty(), "{module} may use {upward:?}, which must stand above it in src/lib.rs");
        above.insert(module);
    }
    assert!(above.len() > 10, "the table of src/lib.rs was not read: {above:?}");
}

#[test]
fn no_source_file_is_longer_than_400_lines() {
    let directories = [("src", "rs"), ("crates", "rs"), ("tests", "rs"), ("benches", "rs"), ("lua", "lua")];
    let long: Vec<String> = directories
        .iter()
        .flat_map(|(directory, extension)| files(directory, extension))
        .map(|file| (fs::read_to_string(&file).unwrap().lines().count(), file))
        .filter(|(lines, _)| *lines > MAX_LINES)
        .map(|(lines, file)| format!("{}: {lines} lines", file.strip_prefix(ROOT).unwrap().display()))
        .collect();
    assert!(long.is_empty(), "more than {MAX_LINES} lines:\n{}", long.join("\n"));
}
