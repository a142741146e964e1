//! `sl`: see the library's tour in `src/lib.rs`.

use sl::telemetry;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The allocator asks for huge pages of 2 MB each, several for each thread: they would be half of a replica's
    // memory. Without the permission it only needs more.
    let _ = nix::sys::prctl::set_thp_disable(true);
    // One crypto provider for all TLS connections, to Redis and to servers.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        telemetry::print_line("sl: a second crypto provider is installed");
        return ExitCode::FAILURE;
    }
    let status = match sl::cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // One line with the whole chain of causes. Invalid settings are a line each.
            telemetry::print_line(&format!("sl: {failure:#}"));
            failure
                .downcast_ref()
                .map_or(ExitCode::FAILURE, |status: &sl::cli::ExitStatus| status.code.into())
        }
    };
    telemetry::flush();
    status
}
