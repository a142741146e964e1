//! `sl`: see the library's tour in `src/lib.rs`.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // One crypto provider for every TLS connection, to Redis and to servers alike.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("sl: a second crypto provider is in the program");
        return ExitCode::FAILURE;
    }
    match sl::cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // One line: the whole chain of causes. Several wrong settings are several lines.
            eprintln!("sl: {failure:#}");
            ExitCode::FAILURE
        }
    }
}
