//! The calling conventions a filter tells apart: what the kernel reports for them, and what is peculiar to them.

use std::ops::Range;

use super::tables;

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
    pub(super) fn numbers(self) -> tables::Numbers {
        let mut numbers = tables::numbers(self);
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

    /// The older door to a call of 32-bit x86, where it has one: a call that takes many calls' work by a number in its
    /// first argument.
    pub(super) fn multiplexed(self, name: &str) -> Option<Multiplexed> {
        if self != Self::X86 {
            return None;
        }
        let within = |calls: &[(u64, &str)]| {
            calls
                .iter()
                .find(|(_, known)| *known == name)
                .map(|&(call, _)| call)
        };
        let socket = || {
            // The kernel looks at 32 bits, all that a 32-bit program can pass.
            within(SOCKET_CALLS).map(|call| Multiplexed {
                door: "socketcall",
                call,
                mask: u64::from(u32::MAX),
            })
        };
        let ipc = || {
            // Above these bits is a version.
            within(IPC_CALLS).map(|call| Multiplexed {
                door: "ipc",
                call,
                mask: 0xffff,
            })
        };
        socket().or_else(ipc)
    }
}

/// A call made through another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Multiplexed {
    /// The call that is really made.
    pub(super) door: &'static str,
    /// What its first argument says, in the bits of `mask`.
    pub(super) call: u64,
    pub(super) mask: u64,
}

/// `SYS_*` of `linux/net.h`.
const SOCKET_CALLS: &[(u64, &str)] = &[
    (1, "socket"),
    (2, "bind"),
    (3, "connect"),
    (4, "listen"),
    (5, "accept"),
    (6, "getsockname"),
    (7, "getpeername"),
    (8, "socketpair"),
    (9, "send"),
    (10, "recv"),
    (11, "sendto"),
    (12, "recvfrom"),
    (13, "shutdown"),
    (14, "setsockopt"),
    (15, "getsockopt"),
    (16, "sendmsg"),
    (17, "recvmsg"),
    (18, "accept4"),
    (19, "recvmmsg"),
    (20, "sendmmsg"),
];

/// `SEMOP` to `SHMCTL` of `linux/ipc.h`.
const IPC_CALLS: &[(u64, &str)] = &[
    (1, "semop"),
    (2, "semget"),
    (3, "semctl"),
    (4, "semtimedop"),
    (11, "msgsnd"),
    (12, "msgrcv"),
    (13, "msgget"),
    (14, "msgctl"),
    (21, "shmat"),
    (22, "shmdt"),
    (23, "shmget"),
    (24, "shmctl"),
];
