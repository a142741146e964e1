//! Any bytes as the response of a BBB server. What is passed on must be XML for a strict parser, and nothing may
//! panic. `cargo +nightly fuzz run server_response`; the property tests in `src/bbb/xml_reader/` do the same with
//! a stable compiler, on every `make test`.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sl::bbb::xml_reader::{read_meetings, read_response};

fuzz_target!(|input: &[u8]| {
    for body in [input.to_vec(), [b"<response><returncode>SUCCESS</returncode>", input, b"</response>"].concat()] {
        let listed = read_meetings(&body);
        if let Ok((passed_on, envelope)) = read_response(Bytes::from(body)) {
            let text = std::str::from_utf8(&passed_on).expect("UTF-8");
            roxmltree::Document::parse(text).expect("strict XML");
            if envelope.success && listed.is_ok() {
                read_meetings(&passed_on).expect("what is passed on can be polled");
            }
        }
    }
});
