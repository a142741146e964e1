//! The BBB protocol: parameters, checksums, XML.

pub(crate) mod checksum;
pub(crate) mod params;
pub(crate) mod xml;
