//! The BigBlueButton protocol itself: what both sides of the balancer speak. Knows nothing of
//! Redis, of our configuration or of HTTP connections.
//!
//! - [`params`]: parameters in the order and with the bytes they came
//! - [`checksum`]: verifying what clients signed, signing what goes to servers
//! - [`secret`]: secrets that do not print
//! - [`error`]: every error that we answer, as `messageKey` and `message`
//! - [`xml_reader`]: reading what servers answered, without trusting it
//! - [`xml_writer`]: writing XML
//! - [`voice_bridge`]: the dial-in number of a meeting id

pub mod checksum;
pub mod error;
pub mod params;
pub mod secret;
pub mod voice_bridge;
pub mod xml_reader;
pub mod xml_writer;

pub use checksum::Algorithm;
pub use error::ApiError;
pub use params::Params;
pub use secret::Secret;
