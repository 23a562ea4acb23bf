//! The options that libgit2 keeps for the whole process: set once, before it is asked for anything.
//!
//! Nothing else in the crate may change them. An overall deadline is not among them: [`super::worker`] keeps that.

use std::path::Path;
use std::sync::OnceLock;

use git2::ConfigLevel;

/// Longest wait for a connection. Without one, libgit2 waits as long as the kernel does.
const CONNECT_MILLISECONDS: i32 = 10_000;
/// Longest silence of a server while it is read from or written to; git's own servers say something every 5 s.
const SILENCE_MILLISECONDS: i32 = 15_000;

/// Sets the process-wide options, the first time it is called.
///
/// # Errors
/// What libgit2 says, every time.
pub(super) fn set_once() -> Result<(), String> {
    static DONE: OnceLock<Result<(), String>> = OnceLock::new();
    DONE.get_or_init(|| set().map_err(|error| error.message().to_owned())).clone()
}

/// Waits are bounded; what stands in a home's or the machine's Git configuration (`url.*.insteadOf`, proxies) does not
/// count; and a local repository may belong to another user, since it was named by our own configuration and nothing
/// of it is run.
#[expect(unsafe_code, reason = "libgit2 keeps these in plain globals and git2 wraps them as unsafe functions only")]
fn set() -> Result<(), git2::Error> {
    git2::opts::strict_hash_verification(true);
    // SAFETY: `set_once` runs this a single time, before any repository is opened or connection made by this crate,
    // and nothing else in the process uses libgit2; so no other thread reads these globals meanwhile.
    unsafe {
        git2::opts::set_server_connect_timeout_in_milliseconds(CONNECT_MILLISECONDS)?;
        git2::opts::set_server_timeout_in_milliseconds(SILENCE_MILLISECONDS)?;
        git2::opts::set_verify_owner_validation(false)?;
        for level in [ConfigLevel::ProgramData, ConfigLevel::System, ConfigLevel::XDG, ConfigLevel::Global] {
            git2::opts::set_search_path(level, Path::new("/dev/null"))?;
        }
    }
    Ok(())
}
