//! A descriptor that the reactor watches.

use std::os::fd::{AsFd, OwnedFd};

use tokio::io::unix::AsyncFd;

/// Watched for as long as it exists.
pub(crate) type Ready = AsyncFd<OwnedFd>;

/// Watches `fd`, which is set to not block by whoever needs that.
///
/// # Errors
///
/// When the reactor cannot take it.
pub(crate) fn watch(fd: OwnedFd) -> std::io::Result<Ready> {
    // What is unsound about it in general is a type whose descriptor changes under the reactor; that of an OwnedFd never does.
    #[expect(
        deprecated,
        reason = "its successor needs unsafe code, and an OwnedFd meets that one's condition"
    )]
    AsyncFd::new(fd)
}

/// Waits until `fd` is readable: a pidfd when its process has ended.
pub(crate) async fn readable(fd: impl AsFd) -> std::io::Result<()> {
    let own = watch(fd.as_fd().try_clone_to_owned()?)?;
    let _guard = own.readable().await?;
    Ok(())
}
