//! What runs inside: something that keeps a sandbox alive, and calls whose outcome is printed.

use std::process::Command;

/// In the environment of the container, and nowhere else.
pub(crate) const INSIDE: &str = "PODYARD_SECCOMP_PROBE=1";

#[test]
#[ignore = "the program of the container, not a test"]
fn probe() {
    if std::env::var("PODYARD_SECCOMP_PROBE").is_err() {
        return;
    }
    const NEW_USER: u64 = libc::CLONE_NEWUSER as u64;
    say(
        "unshare CLONE_NEWUSER",
        call(libc::SYS_unshare, [NEW_USER, 0, 0]),
    );
    say("unshare nothing", call(libc::SYS_unshare, [0; 3]));
    say("mount nothing", call(libc::SYS_mount, [0; 3]));
    // The identifier of the session keyring.
    say(
        "keyctl",
        call(libc::SYS_keyctl, [0, 3_u64.wrapping_neg(), 0]),
    );
    say("io_uring_setup", call(libc::SYS_io_uring_setup, [1, 0, 0]));
    // Nonsense together, so that no process comes of it.
    say(
        "clone with CLONE_NEWUSER",
        call(libc::SYS_clone, [NEW_USER | libc::CLONE_FS as u64, 0, 0]),
    );
    say("clone3", call(libc::SYS_clone3, [0; 3]));
    say("file_getattr", call(468, [0; 3]));
    say("call 5000", call(5000, [0; 3]));
    say(
        "personality 0xffffffff",
        call(libc::SYS_personality, [0xffff_ffff, 0, 0]),
    );
    let socket = |family| call(libc::SYS_socket, [family, libc::SOCK_SEQPACKET as u64, 0]);
    say("socket AF_UNIX", socket(1));
    say("socket AF_ALG", socket(38));
    say("socket AF_VSOCK", socket(40));
    say(
        "socket AF_VSOCK with a bit nobody looks at",
        socket(1 << 32 | 40),
    );
    say("getpid", call(libc::SYS_getpid, [0; 3]));
    // A string at an address nobody has.
    say("reboot", call(libc::SYS_reboot, [0; 3]));
    say(
        "chroot",
        std::os::unix::fs::chroot("/").map_or_else(errno, |()| 0),
    );
    say("a thread", std::thread::spawn(|| 0).join().unwrap_or(1));
    say(
        "a program",
        Command::new("/usr/bin/true")
            .status()
            .map_or_else(errno, |_| 0),
    );
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    say(
        "mode of the filter, 2",
        i32::from(!status.contains("Seccomp:\t2")),
    );
    // Last, because it may come true.
    say(
        "personality 0xdead",
        call(libc::SYS_personality, [0xdead, 0, 0]),
    );
    say("the end", 0);
}

#[expect(clippy::print_stdout, reason = "what this program is for")]
fn say(what: &str, errno: i32) {
    println!("\nprobe: {what} = {errno}");
}

fn errno(error: std::io::Error) -> i32 {
    error.raw_os_error().unwrap_or(-1)
}

/// Makes a call and gives its error, 0 for none.
#[expect(unsafe_code, reason = "calls that no library makes")]
fn call(number: i64, [first, second, third]: [u64; 3]) -> i32 {
    // SAFETY: the calls above are handed no memory, and what they return is dropped. Children of clone would run on
    // with a copy of this memory, but none can come of the arguments given.
    let result = unsafe { libc::syscall(number, first, second, third, 0_u64, 0_u64, 0_u64) };
    if result < 0 {
        errno(std::io::Error::last_os_error())
    } else {
        0
    }
}
