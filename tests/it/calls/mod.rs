//! The BBB API, one file for each call.

mod breakouts;
mod create;
mod create_bodies;
mod create_failures;
mod create_forwarding;
mod delete_recordings;
mod end;
mod error_redirect;
mod get_meeting_info;
mod get_meetings;
mod get_recordings;
mod health_check;
mod index;
mod insert_document;
mod is_meeting_running;
mod join;
mod meeting_id_forms;
mod publish_recordings;
mod send_chat_message;
mod text_tracks;
mod unsupported;
mod update_recordings;
mod voice_bridges;
