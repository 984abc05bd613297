//! How many files and connections the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit of open files to the most that the system lets this process
/// have (setrlimit(2), `RLIMIT_NOFILE`); many systems begin with 1024 for programs
/// that use select(2), which none here does. Gives the limit; `None`: there is
/// none.
pub fn raise_file_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, limit = limit.current, "the limit of open files stays");
            limit.current
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_to_the_most_allowed() {
        let most = raise_file_limit();
        assert_eq!(getrlimit(Resource::Nofile).current, most);
    }
}
