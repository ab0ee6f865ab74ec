//! The calling conventions a filter tells apart: what the kernel reports for them, and what is peculiar to them.

use std::ops::Range;

use super::profile::{Argument, Comparison, Condition};
use super::tables::{Call, calls_named};

/// A calling convention for system calls, with numbers of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86.
    X86,
    /// 64-bit x86 with 32-bit pointers.
    X32,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM.
    Arm,
}

/// The bit that makes a number an x32 one; the kernel reports x86-64 for both.
const X32_BIT: u32 = 0x4000_0000;

impl Architecture {
    /// What this program runs on.
    #[must_use]
    pub const fn native() -> Self {
        #[cfg(target_arch = "x86_64")]
        return Self::X86_64;
        #[cfg(target_arch = "aarch64")]
        return Self::Aarch64;
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        compile_error!("system call filters know the calls of x86-64 and 64-bit ARM only");
    }

    /// All conventions a machine of this kind serves, itself first: a profile that leaves one out breaks programs built
    /// for it, so containerd's default names them all.
    #[must_use]
    pub const fn with_companions(self) -> &'static [Self] {
        match self {
            Self::X86_64 => &[Self::X86_64, Self::X86, Self::X32],
            Self::Aarch64 => &[Self::Aarch64, Self::Arm],
            Self::X86 => &[Self::X86],
            Self::X32 => &[Self::X32],
            Self::Arm => &[Self::Arm],
        }
    }

    /// What the kernel says of a call in `seccomp_data.arch` (`AUDIT_ARCH_*` of `linux/audit.h`).
    pub(super) const fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// The numbers that are this convention's among those with the same [`Self::audit`].
    pub(super) const fn span(self) -> (u32, u32) {
        match self {
            Self::X86_64 => (0, X32_BIT - 1),
            Self::X32 => (X32_BIT, u32::MAX),
            Self::X86 | Self::Aarch64 | Self::Arm => (0, u32::MAX),
        }
    }

    /// Numbers by name, as the kernel reports them.
    #[cfg(test)]
    pub(super) fn numbers(self) -> std::collections::HashMap<&'static str, u32> {
        let mut numbers = super::tables::numbers(self);
        for number in numbers.values_mut() {
            *number += self.span().0;
        }
        numbers
    }

    /// Numbers apart from the others, which get no new calls: those whose arguments x32 lays out as 32-bit x86 does,
    /// and those only 32-bit ARM has (`set_tls` and such).
    pub(super) fn closed_block(self) -> Range<u32> {
        match self {
            Self::X32 => X32_BIT + 512..X32_BIT + 548,
            Self::Arm => 0xf_0000..0xf_0800,
            Self::X86_64 | Self::X86 | Self::Aarch64 => 0..0,
        }
    }

    /// The calls that 32-bit x86 can also make through this older one, where it is such a door.
    pub(super) fn behind(self, door: Call) -> &'static [Behind] {
        const SOCKETCALL: Call = calls_named!("socketcall")[0];
        const IPC: Call = calls_named!("ipc")[0];
        match (self, door) {
            (Self::X86, SOCKETCALL) => &SOCKET_CALLS,
            (Self::X86, IPC) => &IPC_CALLS,
            _ => &[],
        }
    }
}

/// A call made through another one, which takes many calls' work by a number in its first argument.
#[derive(Debug)]
pub(super) struct Behind {
    /// The call that is really made.
    pub(super) call: Call,
    /// When it is this one.
    pub(super) condition: Condition,
}

impl Behind {
    const fn new(name: &str, value: u64, mask: u64) -> Self {
        Self {
            call: Call::named(name).expect("a call some architecture has"),
            condition: Condition {
                argument: Argument::FIRST,
                comparison: Comparison::MaskedEqual { mask, value },
            },
        }
    }

    /// The kernel looks at 32 bits, all that a 32-bit program can pass.
    const fn socketcall(value: u64, name: &str) -> Self {
        Self::new(name, value, u32::MAX as u64)
    }

    /// Above these bits is a version.
    const fn ipc(value: u64, name: &str) -> Self {
        Self::new(name, value, 0xffff)
    }
}

/// `SYS_*` of `linux/net.h`.
static SOCKET_CALLS: [Behind; 20] = [
    Behind::socketcall(1, "socket"),
    Behind::socketcall(2, "bind"),
    Behind::socketcall(3, "connect"),
    Behind::socketcall(4, "listen"),
    Behind::socketcall(5, "accept"),
    Behind::socketcall(6, "getsockname"),
    Behind::socketcall(7, "getpeername"),
    Behind::socketcall(8, "socketpair"),
    Behind::socketcall(9, "send"),
    Behind::socketcall(10, "recv"),
    Behind::socketcall(11, "sendto"),
    Behind::socketcall(12, "recvfrom"),
    Behind::socketcall(13, "shutdown"),
    Behind::socketcall(14, "setsockopt"),
    Behind::socketcall(15, "getsockopt"),
    Behind::socketcall(16, "sendmsg"),
    Behind::socketcall(17, "recvmsg"),
    Behind::socketcall(18, "accept4"),
    Behind::socketcall(19, "recvmmsg"),
    Behind::socketcall(20, "sendmmsg"),
];

/// `SEMOP` to `SHMCTL` of `linux/ipc.h`.
static IPC_CALLS: [Behind; 12] = [
    Behind::ipc(1, "semop"),
    Behind::ipc(2, "semget"),
    Behind::ipc(3, "semctl"),
    Behind::ipc(4, "semtimedop"),
    Behind::ipc(11, "msgsnd"),
    Behind::ipc(12, "msgrcv"),
    Behind::ipc(13, "msgget"),
    Behind::ipc(14, "msgctl"),
    Behind::ipc(21, "shmat"),
    Behind::ipc(22, "shmdt"),
    Behind::ipc(23, "shmget"),
    Behind::ipc(24, "shmctl"),
];
