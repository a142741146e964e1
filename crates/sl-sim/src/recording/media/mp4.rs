//! MP4 with one H.264 track.

use super::h264::{HEIGHT_MACROBLOCKS, WIDTH_MACROBLOCKS, grey_picture, parameter_sets};

const WIDTH_PIXELS: u32 = WIDTH_MACROBLOCKS * 16;
const HEIGHT_PIXELS: u32 = HEIGHT_MACROBLOCKS * 16;

/// The identity matrix of track and movie headers.
const MATRIX: [u32; 9] = [0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x4000_0000];

/// An MP4 with one picture a second. Each picture is preceded by its share of the padding, which players skip: to seek
/// in a large file, a player must send a range request.
pub(in crate::recording) fn mp4(seconds: u32, padding: &[u8]) -> Vec<u8> {
    let samples: Vec<Vec<u8>> = (0..seconds)
        .map(|n| {
            let unit = grey_picture(n, (40 + n * 37 % 180) as u8);
            [&(unit.len() as u32).to_be_bytes()[..], &unit].concat()
        })
        .collect();
    let sample_sizes: Vec<u32> = samples.iter().map(|sample| sample.len() as u32).collect();
    let gap = padding.len() / samples.len().max(1);
    let ftyp = mp4_box(b"ftyp", &[b"isom", &be_words(&[0x200]), b"isomavc1mp41"]);
    // The size of moov does not depend on the offsets in it.
    let moov_size = moov(seconds, &sample_sizes, gap, 0).len();
    let data_offset = ftyp.len() + moov_size + 8;
    let mut data: Vec<&[u8]> = Vec::new();
    for (n, sample) in samples.iter().enumerate() {
        data.extend([&padding[n * gap..(n + 1) * gap], sample]);
    }
    [ftyp, moov(seconds, &sample_sizes, gap, data_offset as u32), mp4_box(b"mdat", &data)].concat()
}

fn mp4_box(name: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    [&(content.len() as u32 + 8).to_be_bytes()[..], name, &content].concat()
}

fn be_words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

/// The movie box: everything but the samples, which begin at `data_offset`.
fn moov(seconds: u32, sample_sizes: &[u32], gap: usize, data_offset: u32) -> Vec<u8> {
    let duration_ms = seconds * 1000;
    let dref = mp4_box(b"dref", &[&be_words(&[0, 1]), &mp4_box(b"url ", &[&be_words(&[1])])]);
    let minf = mp4_box(
        b"minf",
        &[
            &mp4_box(b"vmhd", &[&be_words(&[1, 0, 0])]),
            &mp4_box(b"dinf", &[&dref]),
            &sample_table(seconds, sample_sizes, gap, data_offset),
        ],
    );
    let mdia = mp4_box(
        b"mdia",
        &[
            &mp4_box(b"mdhd", &[&be_words(&[0, 0, 0, 1000, duration_ms, 0x55c4_0000])]),
            &mp4_box(b"hdlr", &[&be_words(&[0, 0]), b"vide", &[0; 12], b"video\0"]),
            &minf,
        ],
    );
    let tkhd = mp4_box(
        b"tkhd",
        &[
            &be_words(&[7, 0, 0, 1, 0, duration_ms, 0, 0, 0, 0]),
            &be_words(&MATRIX),
            &be_words(&[WIDTH_PIXELS << 16, HEIGHT_PIXELS << 16]),
        ],
    );
    let mvhd = mp4_box(
        b"mvhd",
        &[
            &be_words(&[0, 0, 0, 1000, duration_ms, 0x10000, 0x0100_0000, 0, 0]),
            &be_words(&MATRIX),
            &be_words(&[0, 0, 0, 0, 0, 0, 2]),
        ],
    );
    mp4_box(b"moov", &[&mvhd, &mp4_box(b"trak", &[&tkhd, &mdia])])
}

/// The sample table box: each sample is a chunk, after `gap` bytes of padding.
fn sample_table(seconds: u32, sample_sizes: &[u32], gap: usize, data_offset: u32) -> Vec<u8> {
    let mut end = data_offset;
    let offsets = sample_sizes.iter().map(|size| {
        end += gap as u32 + size;
        end - size
    });
    let offsets: Vec<u32> = [0, seconds].into_iter().chain(offsets).collect();
    mp4_box(
        b"stbl",
        &[
            &mp4_box(b"stsd", &[&be_words(&[0, 1]), &sample_entry()]),
            &mp4_box(b"stts", &[&be_words(&[0, 1, seconds, 1000])]),
            &mp4_box(b"stsc", &[&be_words(&[0, 1, 1, 1, 1])]),
            &mp4_box(b"stsz", &[&be_words(&[0, 0, seconds]), &be_words(sample_sizes)]),
            &mp4_box(b"stco", &[&be_words(&offsets)]),
        ],
    )
}

/// The sample description: AVC, with its decoder configuration.
fn sample_entry() -> Vec<u8> {
    let (sps, pps) = parameter_sets();
    let configuration = mp4_box(
        b"avcC",
        &[
            &[1, sps[1], sps[2], sps[3], 0xff, 0xe1],
            &(sps.len() as u16).to_be_bytes(),
            &sps,
            &[1],
            &(pps.len() as u16).to_be_bytes(),
            &pps,
        ],
    );
    mp4_box(
        b"avc1",
        &[
            &be_words(&[0, 1, 0, 0, 0, 0, WIDTH_PIXELS << 16 | HEIGHT_PIXELS, 0x48_0000, 0x48_0000, 0]),
            &[0, 1],
            &[0; 32],
            &[0, 24, 0xff, 0xff],
            &configuration,
        ],
    )
}
