//! The smallest pictures, videos and sounds that players accept, made without an encoder: PNG in one colour, MP4 with
//! H.264 of uncompressed macroblocks, Ogg with silent Opus packets.

mod h264;
mod mp4;
mod ogg;
mod png;

pub(super) use mp4::mp4;
pub(super) use ogg::ogg_opus;
pub(super) use png::png;
