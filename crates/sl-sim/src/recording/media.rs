//! The smallest pictures, films and sounds that players take: PNG with stored rows, MP4 with
//! H.264 whose macroblocks are plain samples, Ogg with Opus silence. No encoder is needed.

use flate2::{Compression, Crc, write::ZlibEncoder};
use std::io::Write;

/// A PNG in one colour with a bar across, so that slides can be told apart.
pub(super) fn png(width: u32, height: u32, colour: [u8; 3], bar: u32) -> Vec<u8> {
    let row = |colour: [u8; 3]| [&[0][..], &colour.repeat(width as usize)].concat();
    let (plain, white) = (row(colour), row([255; 3]));
    let is_bar = |y: u32| y / 4 == bar % height.div_ceil(4);
    let rows: Vec<u8> =
        (0..height).flat_map(|y| if is_bar(y) { &white[..] } else { &plain[..] }).copied().collect();
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    // Writing into memory does not fail.
    let packed = zlib.write_all(&rows).and_then(|()| zlib.finish()).unwrap_or_default();
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([8, 2, 0, 0, 0]);
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, data) in [(b"IHDR", header), (b"IDAT", packed), (b"IEND", Vec::new())] {
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

/// Bits of an H.264 unit.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    fn put(&mut self, value: u32, count: u32) -> &mut Bits {
        for n in (0..count).rev() {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> n & 1) as u8) << (7 - self.used % 8);
            }
            self.used += 1;
        }
        self
    }

    /// Exp-Golomb.
    fn ue(&mut self, value: u32) -> &mut Bits {
        let length = (value + 1).ilog2();
        self.put(0, length).put(value + 1, length + 1)
    }

    fn align(&mut self) -> &mut Bits {
        self.used = self.used.next_multiple_of(8);
        self
    }

    /// The unit: its stop bit, and no start code inside.
    fn unit(mut self, kind: u8) -> Vec<u8> {
        self.put(1, 1);
        let mut unit = vec![kind];
        for byte in self.bytes {
            if byte <= 3 && unit.ends_with(&[0, 0]) {
                unit.push(3);
            }
            unit.push(byte);
        }
        unit
    }
}

/// Each picture is 4 × 3 macroblocks.
const ACROSS: u32 = 4;
const DOWN: u32 = 3;

fn parameter_sets() -> (Vec<u8>, Vec<u8>) {
    let mut sequence = Bits::default();
    // Baseline, level 1; picture order follows decoding order; no reference frames.
    sequence.put(0x42_c0_0a, 24).ue(0).ue(0).ue(2).ue(0).put(0, 1);
    sequence.ue(ACROSS - 1).ue(DOWN - 1).put(0b1100, 4);
    let mut picture = Bits::default();
    picture.ue(0).ue(0).put(0, 2).ue(0).ue(0).ue(0).put(0, 3).ue(0).ue(0).ue(0).put(0, 3);
    (sequence.unit(0x67), picture.unit(0x68))
}

/// One picture of a single grey.
fn picture(number: u32, grey: u8) -> Vec<u8> {
    let mut slice = Bits::default();
    slice.ue(0).ue(7).ue(0).put(0, 4).ue(number % 2).put(0, 2).ue(0);
    for _ in 0..ACROSS * DOWN {
        slice.ue(25).align();
        slice.bytes.extend([grey.max(16); 256]);
        slice.bytes.extend([128; 128]);
        slice.used = slice.bytes.len() as u32 * 8;
    }
    slice.unit(0x65)
}

fn with_box(name: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    [&(content.len() as u32 + 8).to_be_bytes()[..], name, &content].concat()
}

fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

/// An MP4 of so many seconds, one picture each; before each is its share of the padding, which players pass
/// over: who seeks in a large one must ask for the part that he needs.
pub(super) fn mp4(seconds: u32, padding: &[u8]) -> Vec<u8> {
    const MATRIX: [u32; 9] = [0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x4000_0000];
    let (sps, pps) = parameter_sets();
    let samples: Vec<Vec<u8>> = (0..seconds)
        .map(|n| {
            let unit = picture(n, (40 + n * 37 % 180) as u8);
            [&(unit.len() as u32).to_be_bytes()[..], &unit].concat()
        })
        .collect();
    let (width, height) = (ACROSS * 16, DOWN * 16);
    let kind = with_box(b"ftyp", &[b"isom", &words(&[0x200]), b"isomavc1mp41"]);
    let configuration = with_box(
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
    let entry = with_box(
        b"avc1",
        &[
            &words(&[0, 1, 0, 0, 0, 0, width << 16 | height, 0x48_0000, 0x48_0000, 0]),
            &[0, 1],
            &[0; 32],
            &[0, 24, 0xff, 0xff],
            &configuration,
        ],
    );
    let sizes: Vec<u32> = samples.iter().map(|s| s.len() as u32).collect();
    let gap = padding.len() / samples.len().max(1);
    let moov = |data: u32| {
        let mut end = data;
        let offsets = sizes.iter().map(|size| {
            end += gap as u32 + size;
            end - size
        });
        let offsets: Vec<u32> = [0, seconds].into_iter().chain(offsets).collect();
        let table = with_box(
            b"stbl",
            &[
                &with_box(b"stsd", &[&words(&[0, 1]), &entry]),
                &with_box(b"stts", &[&words(&[0, 1, seconds, 1000])]),
                &with_box(b"stsc", &[&words(&[0, 1, 1, 1, 1])]),
                &with_box(b"stsz", &[&words(&[0, 0, seconds]), &words(&sizes)]),
                &with_box(b"stco", &[&words(&offsets)]),
            ],
        );
        let own = with_box(b"dref", &[&words(&[0, 1]), &with_box(b"url ", &[&words(&[1])])]);
        let information = with_box(
            b"minf",
            &[&with_box(b"vmhd", &[&words(&[1, 0, 0])]), &with_box(b"dinf", &[&own]), &table],
        );
        let media = with_box(
            b"mdia",
            &[
                &with_box(b"mdhd", &[&words(&[0, 0, 0, 1000, seconds * 1000, 0x55c4_0000])]),
                &with_box(b"hdlr", &[&words(&[0, 0]), b"vide", &[0; 12], b"video\0"]),
                &information,
            ],
        );
        let track = with_box(
            b"tkhd",
            &[
                &words(&[7, 0, 0, 1, 0, seconds * 1000, 0, 0, 0, 0]),
                &words(&MATRIX),
                &words(&[width << 16, height << 16]),
            ],
        );
        let movie = with_box(
            b"mvhd",
            &[
                &words(&[0, 0, 0, 1000, seconds * 1000, 0x10000, 0x0100_0000, 0, 0]),
                &words(&MATRIX),
                &words(&[0, 0, 0, 0, 0, 0, 2]),
            ],
        );
        with_box(b"moov", &[&movie, &with_box(b"trak", &[&track, &media])])
    };
    let head = kind.len() + moov(0).len() + 8;
    let mut data: Vec<&[u8]> = Vec::new();
    for (n, sample) in samples.iter().enumerate() {
        data.extend([&padding[n * gap..(n + 1) * gap], sample]);
    }
    [kind, moov(head as u32), with_box(b"mdat", &data)].concat()
}

/// Ogg with so many seconds of Opus silence.
pub(super) fn ogg(seconds: u32, serial: u32) -> Vec<u8> {
    let mut file = Vec::new();
    let mut page = |kind: u8, position: u64, number: u32, packets: &[&[u8]]| {
        let mut page = [&b"OggS\0"[..], &[kind], &position.to_le_bytes()].concat();
        page.extend(serial.to_le_bytes());
        page.extend(number.to_le_bytes());
        page.extend([0; 4]);
        page.push(packets.len() as u8);
        page.extend(packets.iter().map(|packet| packet.len() as u8));
        page.extend(packets.concat());
        let sum = ogg_sum(&page);
        page[22..26].copy_from_slice(&sum.to_le_bytes());
        file.extend(page);
    };
    let head =
        [&b"OpusHead\x01\x01"[..], &312u16.to_le_bytes(), &48_000u32.to_le_bytes(), &[0, 0, 0]].concat();
    page(2, 0, 0, &[&head]);
    page(0, 0, 1, &[b"OpusTags\x02\0\0\0sl\0\0\0\0"]);
    // 20 ms each, 50 in a second.
    for second in 0..seconds.max(1) {
        let last = second + 1 == seconds.max(1);
        let position = u64::from(second + 1) * 48_000;
        page(if last { 4 } else { 0 }, position, second + 2, &[&[0xf8, 0xff, 0xfe][..]; 50]);
    }
    file
}

/// CRC-32 as Ogg has it: not reflected, from 0, not inverted.
fn ogg_sum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte) << 24, |sum, _| {
            if sum & 0x8000_0000 == 0 { sum << 1 } else { sum << 1 ^ 0x04c1_1db7 }
        })
    })
}
