//! Converts uploaded text tracks to WebVTT, from SRT, which is nearly the same.

/// Why a text track is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadTrack {
    /// No text.
    #[error("it is empty")]
    Empty,
    /// Not UTF-8.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// Another kind of file.
    #[error("it is neither WebVTT nor SRT")]
    NeitherKind,
}

/// Returns a text track as WebVTT.
pub fn to_webvtt(bytes: &[u8]) -> Result<String, BadTrack> {
    let text = std::str::from_utf8(bytes).map_err(|_| BadTrack::NotUtf8)?;
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n");
    if text.trim().is_empty() {
        return Err(BadTrack::Empty);
    }
    if text.contains('\0') {
        return Err(BadTrack::NeitherKind);
    }
    match text.strip_prefix("WEBVTT") {
        Some(rest) if rest.is_empty() || rest.starts_with(['\n', ' ', '\t']) => Ok(text),
        _ => from_srt(&text),
    }
}

/// SRT: cues separated by empty lines, each a number, a time line with commas, and lines of text.
fn from_srt(text: &str) -> Result<String, BadTrack> {
    let mut out = String::from("WEBVTT\n");
    let mut cues = 0;
    let mut lines = text.lines().peekable();
    // A line before the first cue is its number only if a time line follows.
    let mut in_cue = false;
    while let Some(line) = lines.next() {
        if let Some(time) = time_line(line) {
            out.push('\n');
            out.push_str(&time);
            out.push('\n');
            (in_cue, cues) = (true, cues + 1);
        } else if line.trim().is_empty() {
            in_cue = false;
        } else if in_cue {
            out.push_str(&line.replace("-->", "--&gt;"));
            out.push('\n');
        } else if lines.peek().is_none_or(|next| time_line(next).is_none()) && cues == 0 {
            return Err(BadTrack::NeitherKind);
        }
    }
    if cues == 0 { Err(BadTrack::NeitherKind) } else { Ok(out) }
}

/// Converts `00:00:01,000 --> 00:00:04,000`. Drops what follows (coordinates).
fn time_line(line: &str) -> Option<String> {
    let (from, to) = line.split_once("-->")?;
    let (from, to) = (time(from.trim())?, time(to.split_whitespace().next()?)?);
    Some(format!("{from} --> {to}"))
}

/// Converts a time: hours, minutes, seconds, a comma (or, in many files, a point), milliseconds.
fn time(text: &str) -> Option<String> {
    let (clock, fraction) = text.split_once([',', '.'])?;
    let parts: Vec<&str> = clock.split(':').collect();
    let [hours, minutes, seconds] = parts[..] else { return None };
    let number = |text: &str, longest: usize| {
        let is_number = (1..=longest).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| text.parse::<u32>().ok()).flatten()
    };
    let (hours, minutes, seconds) = (number(hours, 4)?, number(minutes, 2)?, number(seconds, 2)?);
    number(fraction, 3)?;
    (minutes < 60 && seconds < 60).then(|| format!("{hours:02}:{minutes:02}:{seconds:02}.{fraction:0<3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn srt_is_converted() {
        let srt = "\u{feff}1\r\n00:00:01,000 --> 00:00:04,5 X1:40\r\nHello\r\n<i>there</i> --> you\r\n\r\n\
            2\r\n1:02:03,004-->1:02:05,006\r\nÜber\r\n";
        let expected = "WEBVTT\n\n00:00:01.000 --> 00:00:04.500\nHello\n<i>there</i> --&gt; you\n\n\
            01:02:03.004 --> 01:02:05.006\nÜber\n";
        assert_eq!(to_webvtt(srt.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn webvtt_keeps_its_text() {
        for vtt in ["WEBVTT\n\n00:01.000 --> 00:02.000\nHi\n", "WEBVTT - title\n", "WEBVTT"] {
            assert_eq!(to_webvtt(vtt.as_bytes()).unwrap(), vtt);
        }
        assert_eq!(to_webvtt("\u{feff}WEBVTT\r\rx".as_bytes()).unwrap(), "WEBVTT\n\nx");
    }

    #[test]
    fn other_files_are_refused() {
        for empty in ["", " \r\n", "\u{feff}"] {
            assert_eq!(to_webvtt(empty.as_bytes()), Err(BadTrack::Empty), "{empty:?}");
        }
        assert_eq!(to_webvtt(b"1\n00:00:01,000 --> 00:00:02,000\n\xff"), Err(BadTrack::NotUtf8));
        for other in [
            "WEBVTTX\n",
            "<html>",
            "1\n2\n3",
            "00:00:01 --> 00:00:02\nx",
            "1\n00:61:00,000 --> 00:62:00,000\nx",
            "a\0b",
        ] {
            assert_eq!(to_webvtt(other.as_bytes()), Err(BadTrack::NeitherKind), "{other:?}");
        }
    }
}
