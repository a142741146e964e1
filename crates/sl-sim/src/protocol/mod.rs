//! The BBB protocol, implemented a second time: no code is shared with the proxy, so a bug there cannot be hidden by the
//! same bug here.

pub(crate) mod checksum;
pub(crate) mod params;
pub(crate) mod xml;
