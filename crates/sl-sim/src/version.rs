//! The BBB versions that differ in what they answer.

use std::fmt;
use std::str::FromStr;

/// A release line of BBB, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BbbLine {
    /// 2.4: `validationError` for a meeting that does not exist.
    V2_4,
    /// 2.5
    V2_5,
    /// 2.6
    V2_6,
    /// 2.7: the last one whose unknown calls answer 404, and without sendChatMessage.
    V2_7,
    /// 3.0: JSON from index, sendChatMessage, getJoinUrl.
    V3_0,
}

/// A version: its text as in bbbVersion, and its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BbbVersion {
    text: String,
    line: BbbLine,
}

impl BbbVersion {
    /// Its line.
    pub fn line(&self) -> BbbLine {
        self.line
    }

    /// As index reports it: `3.0.9`.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Default for BbbVersion {
    /// 3.0.9
    fn default() -> BbbVersion {
        BbbVersion { text: "3.0.9".into(), line: BbbLine::V3_0 }
    }
}

impl fmt::Display for BbbVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A version of no known line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownVersion;

impl fmt::Display for UnknownVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be 2.4, 2.5, 2.6, 2.7 or 3.0, alone or with a patch number such as 3.0.9")
    }
}

impl std::error::Error for UnknownVersion {}

impl FromStr for BbbVersion {
    type Err = UnknownVersion;

    fn from_str(text: &str) -> Result<BbbVersion, UnknownVersion> {
        const LINES: [(&str, BbbLine); 5] = [
            ("2.4", BbbLine::V2_4),
            ("2.5", BbbLine::V2_5),
            ("2.6", BbbLine::V2_6),
            ("2.7", BbbLine::V2_7),
            ("3.0", BbbLine::V3_0),
        ];
        let is_of = |line: &str| {
            text.strip_prefix(line)
                .is_some_and(|rest| matches!(rest.bytes().next(), None | Some(b'.' | b'-')))
        };
        let (_, line) = LINES.into_iter().find(|(line, _)| is_of(line)).ok_or(UnknownVersion)?;
        Ok(BbbVersion { text: text.into(), line })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_by_their_line() {
        for (text, line) in [("2.4", BbbLine::V2_4), ("2.7.12", BbbLine::V2_7), ("3.0-beta.1", BbbLine::V3_0)]
        {
            let version: BbbVersion = text.parse().unwrap();
            assert_eq!((version.line(), version.as_str()), (line, text));
        }
        for bad in ["", "3", "2.3.9", "3.01", "v3.0", "4.0"] {
            assert_eq!(bad.parse::<BbbVersion>(), Err(UnknownVersion), "{bad}");
        }
    }
}
