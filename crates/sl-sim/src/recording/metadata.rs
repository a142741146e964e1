//! metadata.xml. The scripts of BBB's formats write it differently.

use super::{Recording, RecordingFormat, files};

fn escape(value: &str) -> String {
    value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

pub(crate) fn metadata_xml(recording: &Recording, format: RecordingFormat, size: u64) -> String {
    let id = recording.record_id();
    let (start, end) = (recording.start_ms, recording.start_ms + recording.duration_ms);
    let times = format!("<start_time>{start}</start_time>\n  <end_time>{end}</end_time>");
    let participants = format!("<participants>{}</participants>", recording.participants);
    let meeting = format!(
        "<meeting id=\"{id}\" externalId=\"{}\" name=\"{}\" breakout=\"false\"/>",
        escape(&recording.meeting_id),
        escape(&recording.name)
    );
    let meta = meta_element(recording);
    let raw = size * 5;
    let link = |path: &str| format!("https://{}{path}", recording.host);
    let playback = |url: String, sized: bool, extensions: &str| {
        let size = if sized { format!("\n    <size>{size}</size>") } else { String::new() };
        format!(
            "<playback>\n    <format>{}</format>\n    <link>{url}</link>\n    <processing_time>{}</processing_time>\n    \
             <duration>{}</duration>{extensions}{size}\n  </playback>",
            format.name(),
            recording.duration_ms / 75,
            recording.duration_ms
        )
    };
    let body = match format {
        RecordingFormat::Presentation => {
            let images: String = files::thumbnails(recording)
                .iter()
                .map(|(path, alt)| {
                    format!(
                        "\n      <image width=\"176\" height=\"136\" alt=\"{}\">{}</image>",
                        escape(alt),
                        link(&format!("/presentation/{id}/{path}"))
                    )
                })
                .collect();
            let preview =
                format!("\n    <extensions><preview><images>{images}\n    </images></preview></extensions>");
            let playback = playback(link(&format!("/playback/presentation/2.3/{id}")), true, &preview);
            format!(
                "<state>published</state>\n  <published>true</published>\n  {times}\n  {participants}\n  {meeting}\n  \
                 {meta}\n  {playback}\n  <raw_size>{raw}</raw_size>"
            )
        }
        RecordingFormat::Video => {
            let playback = playback(link(&format!("/playback/video/{id}/")), true, "");
            format!(
                "<state>available</state>\n  <published>true</published>\n  {times}\n  {participants}\n  {playback}\n  \
                 {meta}\n  <raw_size>{raw}</raw_size>"
            )
        }
        RecordingFormat::Screenshare => {
            let playback = playback(link(&format!("/recording/screenshare/{id}/")), false, "");
            format!(
                "<state>available</state>\n  <published>true</published>\n  {times}\n  {playback}\n  {meta}"
            )
        }
        RecordingFormat::Podcast => {
            let playback = playback(link(&format!("/podcast/{id}/audio.ogg")), true, "");
            format!(
                "<state>published</state>\n  <published>true</published>\n  {times}\n  {participants}\n  {meeting}\n  \
                 {meta}\n  {playback}\n  <raw_size>{raw}</raw_size>"
            )
        }
        RecordingFormat::Notes => {
            let playback = playback(link(&format!("/notes/{id}/notes.html")), true, "");
            format!(
                "<state>published</state>\n  <published>true</published>\n  {times}\n  {participants}\n  {meeting}\n  \
                 {meta}\n  {playback}\n  <raw_size>{raw}</raw_size>"
            )
        }
    };
    format!("<?xml version=\"1.0\"?>\n<recording>\n  <id>{id}</id>\n  {body}\n</recording>\n")
}

fn meta_element(recording: &Recording) -> String {
    let mut rows = format!(
        "<meta>\n    <meetingId>{}</meetingId>\n    <meetingName>{}</meetingName>\n    <isBreakout>false</isBreakout>",
        escape(&recording.meeting_id),
        escape(&recording.name)
    );
    for (key, value) in &recording.metadata {
        rows += &match value.as_str() {
            "" => format!("\n    <{key}/>"),
            value => format!("\n    <{key}>{}</{key}>", escape(value)),
        };
    }
    rows + "\n  </meta>"
}
