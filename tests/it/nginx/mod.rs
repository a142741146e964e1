//! The files in nginx/, as they are, with a real nginx.

mod fake;
mod forms;
mod headers;
mod load;
mod logs;
mod retries;
pub mod site;
mod stops;

use fake::Fake;
pub use site::Site;
use site::scalelite;
