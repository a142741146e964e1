//! The files of each format: path within the format, and content.

use super::{Recording, RecordingFormat, incompressible_bytes, media};

type Files = Vec<(String, Vec<u8>)>;

/// Bounds the videos: tests only start to play them.
const MAX_VIDEO_SECONDS: u64 = 10;

fn video_seconds(recording: &Recording) -> u32 {
    (recording.duration_ms / 1000).clamp(1, MAX_VIDEO_SECONDS) as u32
}

pub(crate) fn format_files(recording: &Recording, format: RecordingFormat) -> Files {
    let seconds = video_seconds(recording);
    let video = |padding: usize| media::mp4(seconds, &incompressible_bytes(recording.seed, padding));
    let id = recording.record_id();
    let size = recording.size as usize;
    match format {
        RecordingFormat::Presentation => presentation(recording, &id, video),
        RecordingFormat::Video => vec![
            ("index.html".into(), player_page(&id, "video-0.m4v").into_bytes()),
            ("video-0.m4v".into(), video(size)),
            ("thumbnails/video-0.png".into(), media::png(176, 99, colour(recording.seed), 3)),
        ],
        RecordingFormat::Screenshare => vec![
            ("index.html".into(), player_page(&id, "screenshare-0.mp4").into_bytes()),
            ("screenshare-0.mp4".into(), video(size)),
        ],
        RecordingFormat::Podcast => {
            // A second of silence is an Ogg page of 50 packets: 227 bytes.
            let seconds = seconds.max((size / 228) as u32);
            vec![("audio.ogg".into(), media::ogg_opus(seconds, recording.seed as u32))]
        }
        RecordingFormat::Notes => {
            let mut text =
                b"<!DOCTYPE html><meta charset=utf-8><title>Notes</title><p>No notes were taken.".to_vec();
            while text.len() < size {
                text.extend(b"<p>A line of notes.");
            }
            vec![("notes.html".into(), text)]
        }
    }
}

fn presentation(recording: &Recording, id: &str, video: impl Fn(usize) -> Vec<u8>) -> Files {
    let presentation_id = format!("d2d9a672040fbde2a47a10bf6c37b6a4b5ae187f-{}", recording.start_ms);
    let mut files: Files = Vec::new();
    let mut images = String::new();
    let mut texts = String::new();
    let slides = recording.slides.max(1);
    // The slides share the length of the video, so that each is shown.
    let seconds = f64::from(video_seconds(recording));
    for n in 1..=slides {
        let colour = colour(recording.seed.wrapping_mul(31).wrapping_add(u64::from(n)));
        let begin = seconds * f64::from(n - 1) / f64::from(slides);
        let end = seconds * f64::from(n) / f64::from(slides);
        images += &format!(
            "<image id=\"image{n}\" class=\"slide\" in=\"{begin:.1}\" out=\"{end:.1}\" \
             xlink:href=\"presentation/{presentation_id}/slide-{n}.png\" width=\"1600\" height=\"1200\" x=\"0\" y=\"0\" \
             text=\"presentation/{presentation_id}/textfiles/slide-{n}.txt\"/>"
        );
        texts += &format!("{}\"slide-{n}\":\"Slide {n}\"", if n > 1 { "," } else { "" });
        files
            .push((format!("presentation/{presentation_id}/slide-{n}.png"), media::png(400, 300, colour, n)));
        files.push((
            format!("presentation/{presentation_id}/thumbnails/thumb-{n}.png"),
            media::png(176, 136, colour, n),
        ));
        files.push((
            format!("presentation/{presentation_id}/textfiles/slide-{n}.txt"),
            format!("Slide {n}\n").into_bytes(),
        ));
    }
    let size: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    files.push(("video/webcams.mp4".into(), video((recording.size as usize).saturating_sub(size))));
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
        ("presentation_text.json", format!("{{\"{presentation_id}\":{{{texts}}}}}")),
        ("captions.json", "[]".into()),
        ("polls.json", "[]".into()),
        ("external_videos.json", "[]".into()),
        ("notes.xml", "<notes/>".into()),
    ] {
        files.push((name.into(), text.into_bytes()));
    }
    files
}

/// The thumbnails in a presentation's metadata.xml: path within the format, and alternative text.
pub(crate) fn thumbnails(recording: &Recording) -> Vec<(String, String)> {
    let presentation_id = format!("d2d9a672040fbde2a47a10bf6c37b6a4b5ae187f-{}", recording.start_ms);
    // BBB lists three.
    (1..=recording.slides.clamp(1, 3))
        .map(|n| {
            (
                format!("presentation/{presentation_id}/thumbnails/thumb-{n}.png"),
                format!("Slide {n} of \"{presentation_id}\""),
            )
        })
        .collect()
}

fn player_page(id: &str, video: &str) -> String {
    format!(
        "<!DOCTYPE html><meta charset=utf-8><title>{id}</title><video controls src=\"{video}\"></video>\n"
    )
}

fn colour(seed: u64) -> [u8; 3] {
    let [red, green, blue, ..] = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    [red / 2 + 64, green / 2 + 64, blue / 2 + 64]
}
