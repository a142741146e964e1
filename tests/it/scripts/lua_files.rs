//! The files in lua/ and lua/lib/: what they include, and their contracts.

use crate::support::{ROOT, Redis};
use sl::store::scripts;
use std::collections::BTreeSet;
use std::fs;

/// A Lua text without its comments.
struct Code(String);

impl Code {
    fn of(text: &str) -> Code {
        let lines: Vec<_> = text.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
        Code(lines.join("\n"))
    }

    /// The functions that it defines at its top level.
    fn functions(&self) -> Vec<&str> {
        let lines = self.0.lines().filter_map(|line| line.strip_prefix("local function "));
        lines.map(|line| line.split('(').next().unwrap()).collect()
    }

    fn calls(&self, function: &str) -> bool {
        self.0.match_indices(&format!("{function}(")).any(|(at, _)| {
            let before = &self.0[..at];
            !before.ends_with("function ")
                && !before.ends_with(|c: char| c.is_alphanumeric() || "_.:".contains(c))
        })
    }

    /// The keys that it names, without prefix and id.
    fn keys(&self) -> BTreeSet<&str> {
        self.0.split("P .. '").skip(1).map(|rest| rest.split('\'').next().unwrap()).collect()
    }
}

/// Names and texts of the files in a directory.
fn files(directory: &str) -> Vec<(String, String)> {
    let paths = fs::read_dir(format!("{ROOT}/{directory}")).unwrap().map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "lua"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect()
}

fn includes(text: &str) -> BTreeSet<&str> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("-- @include "));
    lines.flat_map(|names| names.split(", ")).collect()
}

#[test]
fn every_lua_file_is_a_script_with_a_row_in_the_readme() {
    let readme = fs::read_to_string(format!("{ROOT}/lua/README.md")).unwrap();
    let files = files("lua");
    for (name, _) in &files {
        assert!(scripts::NAMES.contains(&name.as_str()), "{name}.lua is not in src/store/scripts.rs");
        assert!(readme.contains(&format!("`{name}`")), "{name} is not in lua/README.md");
    }
    assert_eq!(files.len(), scripts::NAMES.len());
}

#[test]
fn each_file_includes_the_library_files_it_calls_and_no_others() {
    let library = files("lua/lib");
    for (name, text) in files("lua").iter().chain(&library) {
        let code = Code::of(text);
        let called: BTreeSet<&str> = library
            .iter()
            .filter(|(other, text)| other != name && Code::of(text).functions().iter().any(|f| code.calls(f)))
            .map(|(other, _)| other.as_str())
            .collect();
        assert_eq!(includes(text), called, "{name}");
    }
}

#[test]
fn every_function_of_an_expanded_script_is_called_after_its_definition() {
    for name in scripts::NAMES {
        let text = scripts::text(name).unwrap();
        assert!(
            !text.contains("@include"),
            "{name} includes a file that src/store/lua.rs does not have: {text}"
        );
        let code = Code::of(text);
        for function in code.functions() {
            let definition = format!("local function {function}(");
            assert_eq!(code.0.matches(&definition).count(), 1, "{name} defines {function} more than once");
            assert!(code.calls(function), "{name} never calls {function}");
            let (before, _) = code.0.split_once(&definition).unwrap();
            assert!(!Code::of(before).calls(function), "{name} calls {function} before its definition");
        }
    }
}

#[test]
fn no_library_file_is_left_unused_or_includes_itself() {
    let library = files("lua/lib");
    let text = |name: &str| &library.iter().find(|(other, _)| other == name).expect(name).1;
    for (name, _) in &library {
        let (mut seen, mut next) = (BTreeSet::new(), vec![name.as_str()]);
        while let Some(file) = next.pop() {
            for included in includes(text(file)) {
                assert_ne!(included, name, "{name} includes itself by way of {file}");
                if seen.insert(included) {
                    next.push(included);
                }
            }
        }
        let scripts = files("lua");
        let mut others = scripts.iter().chain(&library);
        assert!(others.any(|(_, text)| includes(text).contains(name.as_str())), "lib/{name}.lua is unused");
    }
}

#[test]
fn every_script_has_a_complete_contract_and_compiles() {
    let redis = Redis::start();
    for (name, text) in files("lua") {
        let first = text.lines().next().unwrap();
        assert!(first.starts_with(&format!("-- {name}: ")) && first.ends_with('.'), "{name}: {first}");
        let contract: Vec<&str> = text.lines().take_while(|line| line.starts_with("--")).collect();
        for section in ["KEYS[1]", "ARGV", "Returns", "Keys", "Repeat", "Cost"] {
            let begins = |line: &&str| line.starts_with(&format!("-- {section:9}"));
            assert_eq!(contract.iter().copied().filter(begins).count(), 1, "{name}: {section}");
        }
        let has_errors = contract.iter().any(|line| line.starts_with("-- Errors   "));
        assert_eq!(has_errors, text.contains("error_reply"), "{name}: Errors");
        let sha = redis.cli(&["SCRIPT", "LOAD", scripts::text(&name).unwrap()]);
        assert_eq!(sha.len(), 40, "{name}: {sha}");
    }
}

#[test]
fn the_arguments_in_rust_are_those_of_the_contract_in_its_order() {
    for (name, text) in files("lua") {
        let lines = text.lines().skip_while(|line| !line.starts_with("-- ARGV     "));
        let section = lines.take_while(|line| !line.starts_with("-- Returns"));
        let mut arguments = Vec::new();
        for line in section {
            // `N name  what it is`, `N… name` for a list, or `none`; other lines continue the one before.
            let Some((number, rest)) = line[12..].split_once(' ') else { continue };
            if !number.is_empty() {
                assert_eq!(number.trim_end_matches('…').parse(), Ok(arguments.len() + 1), "{name}: {line}");
                arguments.push(rest.split(' ').next().unwrap());
            }
        }
        let position = scripts::NAMES.iter().position(|other| *other == name).unwrap();
        assert_eq!(arguments, scripts::ARGUMENTS[position], "{name}");
    }
}

#[test]
fn the_keys_section_names_every_key_a_script_uses() {
    for (name, text) in files("lua") {
        let lines = text.lines().skip_while(|line| !line.starts_with("-- Keys     "));
        let section: Vec<&str> = lines
            .enumerate()
            .take_while(|(n, line)| *n == 0 || line.starts_with("--   "))
            .map(|(_, l)| &l[12..])
            .collect();
        let section = section.join(" ");
        let words = section.split([' ', ',', ';']).filter(|word| !word.is_empty());
        let named: BTreeSet<&str> = words
            .filter(|word| !["reads", "writes", "nothing"].contains(word))
            .map(|word| word.split('{').next().unwrap())
            .collect();
        assert_eq!(named, Code::of(scripts::text(&name).unwrap()).keys(), "{name}");
    }
}
