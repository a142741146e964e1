//! What scripts share stands in lua/lib and is copied into each, so that every file runs alone.

use crate::support::{ROOT, Redis};
use std::fs;

/// The script with its copies made anew.
fn current(text: &str) -> String {
    let mut out = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        out += line;
        out.push('\n');
        if let Some(name) = line.strip_prefix("-- lib: ") {
            out += &fs::read_to_string(format!("{ROOT}/lua/lib/{name}.lua")).unwrap();
            assert!(lines.any(|line| line == "-- lib end"), "no end of {name}");
            out += "-- lib end\n";
        }
    }
    out
}

/// `make lua` runs this with SL_UPDATE_LUA set.
#[test]
fn every_copy_is_current() {
    let mut scripts = 0;
    for entry in fs::read_dir(format!("{ROOT}/lua")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "lua") {
            continue;
        }
        scripts += 1;
        let text = fs::read_to_string(&path).unwrap();
        let wanted = current(&text);
        if std::env::var_os("SL_UPDATE_LUA").is_some() && text != wanted {
            fs::write(&path, &wanted).unwrap();
        } else {
            assert!(text == wanted, "{} has an old copy of lua/lib: run `make lua`", path.display());
        }
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(
            sl::store::scripts::SOURCES.iter().any(|(n, _)| *n == name),
            "{name}.lua is not in src/store/scripts.rs"
        );
        let readme = fs::read_to_string(format!("{ROOT}/lua/README.md")).unwrap();
        assert!(readme.contains(&format!("`{name}`")), "{name} is not in lua/README.md");
    }
    assert_eq!(scripts, sl::store::scripts::SOURCES.len());
}

#[test]
fn every_script_begins_with_its_contract_and_compiles() {
    let redis = Redis::start();
    for (name, text) in sl::store::scripts::SOURCES {
        assert!(text.starts_with(&format!("-- {name}: ")), "{name}");
        assert!(text.contains("-- KEYS[1]  key prefix"), "{name}");
        assert!(text.contains("-- Returns"), "{name}");
        let sha = redis.cli(&["SCRIPT", "LOAD", text]);
        assert_eq!(sha.len(), 40, "{name}: {sha}");
    }
}
