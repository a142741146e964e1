//! PNG.

use flate2::{Compression, Crc, write::ZlibEncoder};
use std::io::Write;

/// A PNG in one colour with a number in white.
pub(in crate::recording) fn png(width: u32, height: u32, colour: [u8; 3], number: u32) -> Vec<u8> {
    let glyphs = Glyphs::centred(number, width, height);
    let mut rows = Vec::with_capacity((height * (3 * width + 1)) as usize);
    for y in 0..height {
        // No filter.
        rows.push(0);
        for x in 0..width {
            rows.extend(if glyphs.cover(x, y) { [255; 3] } else { colour });
        }
    }
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

/// Digits, three cells wide and five high, a bit for each cell.
const DIGITS: [[u8; 5]; 10] = [
    [0b111, 0b101, 0b101, 0b101, 0b111],
    [0b010, 0b110, 0b010, 0b010, 0b111],
    [0b111, 0b001, 0b111, 0b100, 0b111],
    [0b111, 0b001, 0b111, 0b001, 0b111],
    [0b101, 0b101, 0b111, 0b001, 0b001],
    [0b111, 0b100, 0b111, 0b001, 0b111],
    [0b111, 0b100, 0b111, 0b101, 0b111],
    [0b111, 0b001, 0b010, 0b010, 0b010],
    [0b111, 0b101, 0b111, 0b101, 0b111],
    [0b111, 0b101, 0b111, 0b001, 0b111],
];

/// A number in the middle of an image.
struct Glyphs {
    digits: Vec<[u8; 5]>,
    /// Pixels of a cell's side.
    cell: u32,
    left: u32,
    top: u32,
}

impl Glyphs {
    fn centred(number: u32, width: u32, height: u32) -> Glyphs {
        let digits = number.to_string().bytes().map(|b| DIGITS[usize::from(b - b'0')]).collect::<Vec<_>>();
        let columns = 4 * digits.len() as u32 - 1;
        let cell = (height / 8).min(width / (columns + 2)).max(1);
        let (left, top) = (width.saturating_sub(columns * cell) / 2, height.saturating_sub(5 * cell) / 2);
        Glyphs { digits, cell, left, top }
    }

    fn cover(&self, x: u32, y: u32) -> bool {
        let (Some(x), Some(y)) = (x.checked_sub(self.left), y.checked_sub(self.top)) else { return false };
        let (column, row) = (x / self.cell, (y / self.cell) as usize);
        let digit = self.digits.get((column / 4) as usize);
        let bits = digit.and_then(|rows| rows.get(row)).copied().unwrap_or(0);
        // The fourth column is the gap.
        column % 4 < 3 && bits >> (2 - column % 4) & 1 == 1
    }
}
