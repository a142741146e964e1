//! The BigBlueButton protocol, as both clients and servers use it. Independent of Redis, of our configuration
//! and of HTTP connections.
//!
//! - [`params`]: request parameters, in their order
//! - [`checksum`]: verifies clients' checksums, signs requests to servers
//! - [`secret`]: secrets that do not appear in logs
//! - [`error`]: every error that we return, as `messageKey` and `message`
//! - [`meeting_id`]: the spellings of a meeting id
//! - [`xml_name`]: element names that every parser accepts
//! - [`xml_reader`]: reads untrusted responses of servers, and repairs them
//! - [`xml_writer`]: writes XML
//! - [`voice_bridge`]: the dial-in number of a meeting id

pub mod checksum;
pub mod error;
pub mod meeting_id;
pub mod params;
pub mod secret;
pub mod voice_bridge;
pub mod xml_name;
pub mod xml_reader;
pub mod xml_writer;

pub use checksum::Algorithm;
pub use error::ApiError;
pub use params::Params;
pub use secret::Secret;
