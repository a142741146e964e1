//! PNG.

use flate2::{Compression, Crc, write::ZlibEncoder};
use std::io::Write;

/// A PNG in one colour with a white bar, whose position distinguishes the slides.
pub(in crate::recording) fn png(width: u32, height: u32, colour: [u8; 3], bar: u32) -> Vec<u8> {
    let row = |colour: [u8; 3]| [&[0][..], &colour.repeat(width as usize)].concat();
    let (plain, white) = (row(colour), row([255; 3]));
    let is_bar_row = |y: u32| y / 4 == bar % height.div_ceil(4);
    let rows: Vec<u8> =
        (0..height).flat_map(|y| if is_bar_row(y) { &white[..] } else { &plain[..] }).copied().collect();
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    // Writing into memory cannot fail.
    let compressed = zlib.write_all(&rows).and_then(|()| zlib.finish()).unwrap_or_default();
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([8, 2, 0, 0, 0]);
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, data) in [(b"IHDR", header), (b"IDAT", compressed), (b"IEND", Vec::new())] {
        file.extend((data.len() as u32).to_be_bytes());
        let mut crc = Crc::new();
        crc.update(name);
        crc.update(&data);
        file.extend(name);
        file.extend(&data);
        file.extend(crc.sum().to_be_bytes());
    }
    file
}
