//! Response bodies of broken servers.

use bytes::Bytes;

/// An error page like nginx's.
pub(crate) fn html_page(title: &str) -> Bytes {
    Bytes::from(format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1>\
         </center>\r\n<hr><center>nginx<br></center>\r\n</body>\r\n</html>\r\n"
    ))
}

/// Neither XML nor UTF-8.
pub(crate) const GARBAGE: &[u8] = b"\x00\xff\xfe\x80<respo\xc3\x28nse>\x1b[2J&&&&<<<\xf0\x28\x8c\x28";

/// `depth` nested elements after a returncode of SUCCESS.
pub(crate) fn deep_xml(depth: u32) -> Bytes {
    let depth = depth as usize;
    let mut out = String::with_capacity(depth * 7 + 64);
    out.push_str("<response><returncode>SUCCESS</returncode>");
    (0..depth).for_each(|_| out.push_str("<a>"));
    (0..depth).for_each(|_| out.push_str("</a>"));
    out.push_str("</response>");
    Bytes::from(out)
}

/// The "billion laughs" attack.
pub(crate) fn entity_bomb() -> Bytes {
    let mut out = String::from("<?xml version=\"1.0\"?>\n<!DOCTYPE response [\n<!ENTITY l0 \"ha\">\n");
    for n in 1..=9 {
        let inner = format!("&l{};", n - 1).repeat(10);
        out.push_str(&format!("<!ENTITY l{n} \"{inner}\">\n"));
    }
    out.push_str("]>\n<response><returncode>SUCCESS</returncode><message>&l9;</message></response>");
    Bytes::from(out)
}
