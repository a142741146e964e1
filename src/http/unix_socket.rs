//! A unix socket that nginx can connect to: its permissions and its group.

use super::listen::BACKLOG;
use nix::unistd::Group;
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use tracing::info;

/// The groups of nginx in Debian and in nginx' own packages.
const NGINX_GROUPS: [&str; 2] = ["www-data", "nginx"];

/// Binds and listens. `group` is a name or a number; None is the group of nginx, if there is one that this process
/// may give the socket to.
pub(super) fn bind(path: &Path, mode: u32, group: Option<&str>) -> io::Result<UnixListener> {
    // A socket file that a killed process left behind is removed; one that accepts connections is in use.
    let left_behind = std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket());
    if left_behind && UnixStream::connect(path).is_err() {
        std::fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    // Nobody can connect before it listens.
    match group {
        Some(group) => chown(path, None, Some(group_id(group)?))
            .map_err(|failure| explain(&failure, &format!("cannot give the socket to the group {group}")))?,
        None => give_to_nginx(path),
    }
    std::fs::set_permissions(path, Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn give_to_nginx(path: &Path) {
    let given = NGINX_GROUPS.iter().any(|name| {
        let group = Group::from_name(name).ok().flatten();
        group.is_some_and(|group| chown(path, None, Some(group.gid.as_raw())).is_ok())
    });
    if !given {
        info!("the socket belongs to our own group: nginx must be in it, or set BIND_GROUP");
    }
}

fn group_id(group: &str) -> io::Result<u32> {
    if let Ok(id) = group.parse() {
        return Ok(id);
    }
    let found = Group::from_name(group).map_err(io::Error::from)?;
    let missing =
        || io::Error::new(io::ErrorKind::NotFound, format!("there is no group {group} (BIND_GROUP)"));
    found.map(|group| group.gid.as_raw()).ok_or_else(missing)
}

fn explain(failure: &io::Error, what: &str) -> io::Error {
    io::Error::new(failure.kind(), format!("{what} (BIND_GROUP): {failure}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn mode_and_group(path: &Path) -> (u32, u32) {
        let metadata = std::fs::metadata(path).unwrap();
        (metadata.mode() & 0o777, metadata.gid())
    }

    #[test]
    fn socket_has_the_mode_and_the_group_that_are_set() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sl.sock");
        // A group that every process may use: its own.
        let own = std::fs::metadata(directory.path()).unwrap().gid();
        let name = Group::from_gid(own.into()).unwrap().unwrap().name;
        for (group, mode) in [(own.to_string(), 0o640), (name, 0o606)] {
            let listener = bind(&path, mode, Some(&group)).unwrap();
            assert_eq!(mode_and_group(&path), (mode, own));
            assert!(UnixStream::connect(&path).is_ok());
            // The next one finds the file that this one left behind.
            drop(listener);
        }
        let listener = bind(&path, 0o660, None).unwrap();
        assert_eq!(mode_and_group(&path).0, 0o660);
        assert_eq!(bind(&path, 0o660, None).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        let error = bind(&path, 0o660, Some("no-such-group")).unwrap_err().to_string();
        assert_eq!(error, "there is no group no-such-group (BIND_GROUP)");
    }
}
