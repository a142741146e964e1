//! The files of each format, by name within the format.

use super::{Recording, RecordingFormat, media, noise};

type Files = Vec<(String, Vec<u8>)>;

/// Films are at most so long: they are there to be played, not watched.
const LONGEST_FILM: u64 = 10;

fn film_seconds(recording: &Recording) -> u32 {
    (recording.duration_ms / 1000).clamp(1, LONGEST_FILM) as u32
}

pub(super) fn of(recording: &Recording, format: RecordingFormat) -> Files {
    let seconds = film_seconds(recording);
    let film = |padding: usize| media::mp4(seconds, &noise(recording.seed, padding));
    let id = recording.record_id();
    let size = recording.size as usize;
    match format {
        RecordingFormat::Presentation => presentation(recording, &id, film),
        RecordingFormat::Video => vec![
            ("index.html".into(), page(&id, "video-0.m4v").into_bytes()),
            ("video-0.m4v".into(), film(size)),
            ("thumbnails/video-0.png".into(), media::png(176, 99, colour(recording.seed), 3)),
        ],
        RecordingFormat::Screenshare => vec![
            ("index.html".into(), page(&id, "screenshare-0.mp4").into_bytes()),
            ("screenshare-0.mp4".into(), film(size)),
        ],
        RecordingFormat::Podcast => {
            // Silence is three bytes a packet: 206 bytes a second with the page around it.
            let seconds = seconds.max((size / 228) as u32);
            vec![("audio.ogg".into(), media::ogg(seconds, recording.seed as u32))]
        }
        RecordingFormat::Notes => {
            let mut text =
                b"<!DOCTYPE html><meta charset=utf-8><title>Notes</title><p>Nobody took notes.".to_vec();
            while text.len() < size {
                text.extend(b"<p>Somebody did.");
            }
            vec![("notes.html".into(), text)]
        }
    }
}

fn presentation(recording: &Recording, id: &str, film: impl Fn(usize) -> Vec<u8>) -> Files {
    let deck = format!("d2d9a672040fbde2a47a10bf6c37b6a4b5ae187f-{}", recording.start_ms);
    let mut files: Files = Vec::new();
    let mut images = String::new();
    let mut texts = String::new();
    let slides = recording.slides.max(1);
    // As long as the film, so that each is seen.
    let seconds = f64::from(film_seconds(recording));
    for n in 1..=slides {
        let colour = colour(recording.seed.wrapping_mul(31).wrapping_add(u64::from(n)));
        let begin = seconds * f64::from(n - 1) / f64::from(slides);
        let end = seconds * f64::from(n) / f64::from(slides);
        images += &format!(
            "<image id=\"image{n}\" class=\"slide\" in=\"{begin:.1}\" out=\"{end:.1}\" \
             xlink:href=\"presentation/{deck}/slide-{n}.png\" width=\"1600\" height=\"1200\" x=\"0\" y=\"0\" \
             text=\"presentation/{deck}/textfiles/slide-{n}.txt\"/>"
        );
        texts += &format!("{}\"slide-{n}\":\"Slide {n}\"", if n > 1 { "," } else { "" });
        files.push((format!("presentation/{deck}/slide-{n}.png"), media::png(400, 300, colour, n)));
        files
            .push((format!("presentation/{deck}/thumbnails/thumb-{n}.png"), media::png(176, 136, colour, n)));
        files.push((
            format!("presentation/{deck}/textfiles/slide-{n}.txt"),
            format!("Slide {n}\n").into_bytes(),
        ));
    }
    let used: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    files.push(("video/webcams.mp4".into(), film((recording.size as usize).saturating_sub(used))));
    let svg = format!(
        "<?xml version=\"1.0\"?><svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\" \
         id=\"svgfile\" viewBox=\"0 0 1600 1200\">{images}</svg>"
    );
    for (name, text) in [
        ("shapes.svg", svg),
        ("panzooms.xml", format!("<recording id=\"panzoom_events\"><event timestamp=\"0.0\"><viewBox>0 0 1600 1200</viewBox></event><!-- {id} --></recording>")),
        ("cursor.xml", "<recording id=\"cursor_events\"><event timestamp=\"0.0\"><cursor>-1 -1</cursor></event></recording>".into()),
        ("slides_new.xml", "<popcorn><chattimeline in=\"3\" direction=\"down\" name=\"Ada\" message=\"Hello\" target=\"chat\"/></popcorn>".into()),
        ("deskshare.xml", "<recording id=\"deskshare_events\"/>".into()),
        ("presentation_text.json", format!("{{\"{deck}\":{{{texts}}}}}")),
        ("captions.json", "[]".into()),
        ("polls.json", "[]".into()),
        ("external_videos.json", "[]".into()),
        ("notes.xml", "<notes/>".into()),
    ] {
        files.push((name.into(), text.into_bytes()));
    }
    files
}

/// Thumbnails of a presentation, as metadata.xml names them: path within the format, and text.
pub(super) fn thumbnails(recording: &Recording) -> Vec<(String, String)> {
    let deck = format!("d2d9a672040fbde2a47a10bf6c37b6a4b5ae187f-{}", recording.start_ms);
    // BBB shows three.
    (1..=recording.slides.clamp(1, 3))
        .map(|n| {
            (format!("presentation/{deck}/thumbnails/thumb-{n}.png"), format!("Slide {n} of \"{deck}\""))
        })
        .collect()
}

fn page(id: &str, film: &str) -> String {
    format!("<!DOCTYPE html><meta charset=utf-8><title>{id}</title><video controls src=\"{film}\"></video>\n")
}

fn colour(seed: u64) -> [u8; 3] {
    let [red, green, blue, ..] = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    [red / 2 + 64, green / 2 + 64, blue / 2 + 64]
}
