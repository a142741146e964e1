//! Ogg with Opus.

/// Ogg with `seconds` seconds of silent Opus.
pub(in crate::recording) fn ogg_opus(seconds: u32, serial: u32) -> Vec<u8> {
    let mut file = Vec::new();
    let mut write_page = |flags: u8, position: u64, number: u32, packets: &[&[u8]]| {
        let mut page = [&b"OggS\0"[..], &[flags], &position.to_le_bytes()].concat();
        page.extend(serial.to_le_bytes());
        page.extend(number.to_le_bytes());
        page.extend([0; 4]);
        page.push(packets.len() as u8);
        page.extend(packets.iter().map(|packet| packet.len() as u8));
        page.extend(packets.concat());
        let crc = ogg_crc(&page);
        page[22..26].copy_from_slice(&crc.to_le_bytes());
        file.extend(page);
    };
    let opus_head =
        [&b"OpusHead\x01\x01"[..], &312u16.to_le_bytes(), &48_000u32.to_le_bytes(), &[0, 0, 0]].concat();
    write_page(2, 0, 0, &[&opus_head]);
    write_page(0, 0, 1, &[b"OpusTags\x02\0\0\0sl\0\0\0\0"]);
    // 50 packets of 20 ms in each second.
    for second in 0..seconds.max(1) {
        let is_last = second + 1 == seconds.max(1);
        let position = u64::from(second + 1) * 48_000;
        write_page(if is_last { 4 } else { 0 }, position, second + 2, &[&[0xf8, 0xff, 0xfe][..]; 50]);
    }
    file
}

/// Ogg's CRC-32: not reflected, initial value 0, not inverted.
fn ogg_crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            if crc & 0x8000_0000 == 0 { crc << 1 } else { crc << 1 ^ 0x04c1_1db7 }
        })
    })
}
