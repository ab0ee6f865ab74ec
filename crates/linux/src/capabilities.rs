//! Linux capabilities by name and as sets.
//!
//! The launcher gives a process the sets of its plan before execve; what is left after it is the kernel's business: root
//! keeps what is permitted, anybody else keeps only the ambient set (capabilities(7)), as with every CRI runtime.

use std::fmt;
use std::str::FromStr;

/// Names in the kernel's order; the position is the number.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// One capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability(u8);

impl Capability {
    /// `CAP_SYS_ADMIN`.
    pub const SYS_ADMIN: Self = Self(21);

    /// The kernel's number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The name without `CAP_`, in capitals.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES[usize::from(self.0)]
    }

    /// All that this crate knows, in the kernel's order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..41).map(Self)
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CAP_{}", self.name())
    }
}

/// The name of no capability.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown capability `{name}`")]
pub struct UnknownCapability {
    /// What was given.
    pub name: String,
}

impl FromStr for Capability {
    type Err = UnknownCapability;

    /// Names are given without `CAP_`, in any case.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let position = NAMES
            .iter()
            .position(|known| known.eq_ignore_ascii_case(name));
        position
            .and_then(|position| u8::try_from(position).ok())
            .map(Self)
            .ok_or_else(|| UnknownCapability {
                name: name.to_owned(),
            })
    }
}

/// A set of capabilities: bit n is capability n.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct CapabilitySet(u64);

impl CapabilitySet {
    /// None.
    pub const EMPTY: Self = Self(0);

    /// Every capability this kernel has and the caller may hand on: the caller's own bounding set.
    ///
    /// Asking for one that the caller lacks would fail the launch, so this is what `ALL` can mean at most.
    #[must_use]
    pub fn available() -> Self {
        use rustix::thread::capability_is_in_bounding_set;
        Capability::all()
            .filter(|capability| {
                let set = rustix::thread::CapabilitySet::from_bits_retain(1 << capability.number());
                capability_is_in_bounding_set(set).unwrap_or(false)
            })
            .collect()
    }

    /// The set with these bits.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether it is in the set.
    #[must_use]
    pub const fn contains(self, capability: Capability) -> bool {
        self.0 & (1 << capability.0) != 0
    }

    /// Puts it in.
    pub const fn insert(&mut self, capability: Capability) {
        self.0 |= 1 << capability.0;
    }

    /// Takes it out.
    pub const fn remove(&mut self, capability: Capability) {
        self.0 &= !(1 << capability.0);
    }

    /// What both have.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Its members in the kernel's order.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::all().filter(move |&capability| self.contains(capability))
    }
}

impl FromIterator<Capability> for CapabilitySet {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        let mut set = Self::EMPTY;
        for capability in capabilities {
            set.insert(capability);
        }
        set
    }
}

impl fmt::Debug for CapabilitySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.iter().map(Capability::name))
            .finish()
    }
}

/// The five capability sets of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct CapabilitySets {
    /// What execve can ever give.
    pub bounding: CapabilitySet,
    /// What may be made effective.
    pub permitted: CapabilitySet,
    /// What counts now.
    pub effective: CapabilitySet,
    /// What file capabilities may keep.
    pub inheritable: CapabilitySet,
    /// What survives execve without file capabilities; each must be permitted and inheritable too.
    pub ambient: CapabilitySet,
}

impl CapabilitySets {
    /// Bounding, permitted and effective as given, inheritable and ambient empty: what CRI runtimes do.
    #[must_use]
    pub const fn of(capabilities: CapabilitySet) -> Self {
        Self {
            bounding: capabilities,
            permitted: capabilities,
            effective: capabilities,
            inheritable: CapabilitySet::EMPTY,
            ambient: CapabilitySet::EMPTY,
        }
    }

    /// containerd's default of fourteen.
    #[must_use]
    pub fn containerd_default() -> Self {
        const DEFAULT: [&str; 14] = [
            "CHOWN",
            "DAC_OVERRIDE",
            "FSETID",
            "FOWNER",
            "MKNOD",
            "NET_RAW",
            "SETGID",
            "SETUID",
            "SETFCAP",
            "SETPCAP",
            "NET_BIND_SERVICE",
            "SYS_CHROOT",
            "KILL",
            "AUDIT_WRITE",
        ];
        Self::of(
            DEFAULT
                .iter()
                .filter_map(|name| name.parse().ok())
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_the_kernels() {
        let check = |name: &str, number: u8| {
            let capability: Capability = name.parse().expect("a known name");
            assert_eq!(capability.number(), number, "{name}");
        };
        check("CHOWN", 0);
        check("sys_admin", 21);
        check("CHECKPOINT_RESTORE", 40);
        assert_eq!(Capability::SYS_ADMIN.to_string(), "CAP_SYS_ADMIN");
        assert!(
            "CAP_CHOWN".parse::<Capability>().is_err(),
            "the prefix is not part of the name"
        );
    }

    #[test]
    fn the_default_set_is_containerds() {
        assert_eq!(
            CapabilitySets::containerd_default().bounding.bits(),
            0xa804_25fb
        );
    }
}
