//! Files of variables, such as /etc/default/scalelite: as systemd (EnvironmentFile) and Docker (--env-file) read them.
//! Quotes stay: [`super::Env`] removes them from every value.

use super::Variables;

/// Reads lines of `NAME=value`. Empty lines and comments are skipped; a backslash at the end of a line continues it.
///
/// # Errors
/// A line is none of these: its number.
pub fn parse_env_file(text: &str) -> Result<Variables, String> {
    let mut variables = Variables::new();
    let mut lines = text.trim_start_matches('\u{feff}').lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let mut line = line.trim().to_owned();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        while let Some(part) = line.strip_suffix('\\') {
            line = part.to_owned() + lines.next().map_or("", |(_, next)| next.trim());
        }
        let assignment = line.strip_prefix("export ").unwrap_or(&line);
        let is_name = |name: &str| {
            name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                && name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
        };
        match assignment.split_once('=').map(|(name, value)| (name.trim(), value)) {
            Some((name, value)) if is_name(name) => variables.insert(name.to_owned(), value.to_owned()),
            _ => return Err(format!("line {} must be NAME=value", index + 1)),
        };
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_systemd_and_docker_are_read() {
        let text = "\u{feff}# comment\r\n; comment\r\n\r\nURL_HOST=\"sl.example.com\"\r\nexport PORT=3001\r\n\
            DEFAULT_CREATE_PARAMS=welcome=Hello all,\\\n  record=true\nBUILD_NUMBER=\nPORT=3002\n";
        let variables = parse_env_file(text).unwrap();
        let pairs: Vec<_> = variables.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(
            pairs,
            [
                ("BUILD_NUMBER", ""),
                ("DEFAULT_CREATE_PARAMS", "welcome=Hello all,record=true"),
                ("PORT", "3002"),
                ("URL_HOST", "\"sl.example.com\""),
            ]
        );
    }

    #[test]
    fn line_that_is_no_assignment_is_named() {
        for wrong in ["A=1\nhush", "A=1\n=hush", "A=1\nA B=hush", "A=1\n1A=hush"] {
            assert_eq!(parse_env_file(wrong), Err("line 2 must be NAME=value".to_owned()), "{wrong}");
        }
    }
}
