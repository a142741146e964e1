//! install-player.sh: the presentation player from a package, a tar file or a directory.

use crate::support::ROOT;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

fn run(program: &str, args: &[&Path]) {
    assert!(Command::new(program).args(args).output().unwrap().status.success(), "{program} {args:?}");
}

/// What the script prints, or its complaint.
fn install(source: &Path, target: &Path) -> Result<String, String> {
    let mut script = Command::new(format!("{ROOT}/nginx/install-player.sh"));
    let output = script.arg(source).arg(target).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// A player below this directory, as a build of bbb-playback leaves it.
fn build_player(directory: &Path, version: &str) {
    fs::create_dir_all(directory.join("static/js")).unwrap();
    fs::write(directory.join("index.html"), version).unwrap();
    fs::write(directory.join("static/js/main.js"), "").unwrap();
}

fn tar_of(directory: &Path, file: PathBuf) -> PathBuf {
    let mut tar = Command::new("tar");
    tar.arg("-czf").arg(&file).arg("-C").arg(directory).arg(".");
    assert!(tar.status().unwrap().success());
    file
}

#[test]
fn install_player_takes_a_package_a_tar_file_or_a_directory() {
    let scratch = TempDir::new().unwrap();
    let at = |name: &str| scratch.path().join(name);
    let target = at("playback/presentation/2.3");
    let installed = || fs::read_to_string(target.join("index.html")).unwrap();

    build_player(&at("build"), "directory");
    assert_eq!(install(&at("build"), &target).unwrap(), format!("OK {}\n", target.display()));
    assert_eq!(installed(), "directory");
    assert!(target.join("static/js/main.js").is_file());

    build_player(&at("packed/bbb-playback-5.0/build"), "tar");
    install(&tar_of(&at("packed"), at("player.tar.gz")), &target).unwrap();
    assert_eq!(installed(), "tar");

    let package = at("package");
    build_player(&package.join("var/bigbluebutton/playback/presentation/2.3"), "package");
    fs::create_dir_all(package.join("usr/share/doc")).unwrap();
    fs::write(package.join("usr/share/doc/index.html"), "no player").unwrap();
    fs::create_dir_all(package.join("DEBIAN")).unwrap();
    let control = "Package: bbb-playback\nVersion: 1\nArchitecture: all\nMaintainer: x\nDescription: x\n";
    fs::write(package.join("DEBIAN/control"), control).unwrap();
    run("dpkg-deb", &[Path::new("--build"), &package, &at("player.deb")]);
    install(&at("player.deb"), &target).unwrap();
    assert_eq!(installed(), "package");
    // Nothing else is left beside it.
    assert_eq!(fs::read_dir(at("playback/presentation")).unwrap().count(), 1);
}

#[test]
fn install_player_refuses_what_is_no_player_and_keeps_the_old_one() {
    let scratch = TempDir::new().unwrap();
    let at = |name: &str| scratch.path().join(name);
    let target = at("playback/2.3");
    build_player(&at("build"), "old");
    install(&at("build"), &target).unwrap();

    fs::create_dir(at("sources")).unwrap();
    fs::write(at("sources/index.html"), "not built").unwrap();
    build_player(&at("linked"), "new");
    symlink("/etc", at("linked/etc")).unwrap();
    build_player(&at("two/a"), "new");
    build_player(&at("two/b"), "new");
    fs::write(at("garbage.tar"), "garbage").unwrap();
    fs::write(at("garbage.deb"), "garbage").unwrap();
    for (source, why) in [
        ("sources", "Build it first"),
        ("linked", "has links or devices"),
        ("two", "more than one player"),
        ("garbage.tar", "cannot unpack"),
        ("garbage.deb", "is not a Debian package"),
        ("nowhere", "there is no"),
    ] {
        let complaint = install(&at(source), &target).unwrap_err();
        assert!(complaint.contains(why), "{source}: {complaint}");
        assert_eq!(fs::read_to_string(target.join("index.html")).unwrap(), "old", "{source}");
        assert_eq!(fs::read_dir(at("playback")).unwrap().count(), 1, "{source}");
    }
    // Members that lead out of the archive.
    let out = at("deep/er/out.tar");
    fs::create_dir_all(out.parent().unwrap()).unwrap();
    let mut tar = Command::new("tar");
    tar.arg("-cPf").arg(&out).arg("--transform=s|^|../../../escaped/|").arg("-C").arg(at("build")).arg(".");
    assert!(tar.status().unwrap().success());
    let complaint = install(&out, &target).unwrap_err();
    assert!(complaint.contains("cannot unpack"), "{complaint}");
    assert!(!at("escaped").exists() && !at("playback/escaped").exists());
    assert_eq!(fs::read_dir(at("playback")).unwrap().count(), 1);
}
