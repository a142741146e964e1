//! The HTTP contract, a file for each call.

mod create;
mod create_bodies;
mod create_failing;
mod create_forwarding;
mod end;
mod get_meeting_info;
mod get_meetings;
mod health_check;
mod index;
mod insert_document;
mod is_meeting_running;
mod join;
mod send_chat_message;
mod unsupported;
mod voice_bridges;
