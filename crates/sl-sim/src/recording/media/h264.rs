//! H.264: parameter sets, and pictures whose macroblocks are uncompressed samples (I_PCM).

/// Writes the bits of a NAL unit.
#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    /// Number of bits written.
    len: u32,
}

impl BitWriter {
    fn put(&mut self, value: u32, count: u32) -> &mut BitWriter {
        for n in (0..count).rev() {
            if self.len.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> n & 1) as u8) << (7 - self.len % 8);
            }
            self.len += 1;
        }
        self
    }

    /// ue(v): an unsigned Exp-Golomb code.
    fn ue(&mut self, value: u32) -> &mut BitWriter {
        let length = (value + 1).ilog2();
        self.put(0, length).put(value + 1, length + 1)
    }

    fn align(&mut self) -> &mut BitWriter {
        self.len = self.len.next_multiple_of(8);
        self
    }

    /// Adds the stop bit, and escapes start codes with emulation prevention bytes.
    fn into_nal_unit(mut self, header: u8) -> Vec<u8> {
        self.put(1, 1);
        let mut unit = vec![header];
        for byte in self.bytes {
            if byte <= 3 && unit.ends_with(&[0, 0]) {
                unit.push(3);
            }
            unit.push(byte);
        }
        unit
    }
}

/// Width of a picture in macroblocks of 16 × 16 pixels.
pub(super) const WIDTH_MACROBLOCKS: u32 = 4;

/// Height of a picture in macroblocks.
pub(super) const HEIGHT_MACROBLOCKS: u32 = 3;

/// The sequence and the picture parameter set (SPS, PPS).
pub(super) fn parameter_sets() -> (Vec<u8>, Vec<u8>) {
    let mut sequence = BitWriter::default();
    // Baseline profile, level 1; picture order follows decoding order; no reference frames.
    sequence.put(0x42_c0_0a, 24).ue(0).ue(0).ue(2).ue(0).put(0, 1);
    sequence.ue(WIDTH_MACROBLOCKS - 1).ue(HEIGHT_MACROBLOCKS - 1).put(0b1100, 4);
    let mut picture = BitWriter::default();
    picture.ue(0).ue(0).put(0, 2).ue(0).ue(0).ue(0).put(0, 3).ue(0).ue(0).ue(0).put(0, 3);
    (sequence.into_nal_unit(0x67), picture.into_nal_unit(0x68))
}

/// An intra picture in one grey.
pub(super) fn grey_picture(number: u32, grey: u8) -> Vec<u8> {
    let mut slice = BitWriter::default();
    slice.ue(0).ue(7).ue(0).put(0, 4).ue(number % 2).put(0, 2).ue(0);
    for _ in 0..WIDTH_MACROBLOCKS * HEIGHT_MACROBLOCKS {
        slice.ue(25).align();
        slice.bytes.extend([grey.max(16); 256]);
        slice.bytes.extend([128; 128]);
        slice.len = slice.bytes.len() as u32 * 8;
    }
    slice.into_nal_unit(0x65)
}
