//! Profiles as JSON: the format of the OCI runtime specification (`linux.seccomp` of its `config-linux.md`), with what
//! Docker added to it, as in the files that `seccompProfile.localhostProfile` names.
//!
//! Docker's additions make rules depend on circumstances: capabilities, kernel, architecture. containerd does not look
//! at them and applies such rules always; here they mean what they say.
//!
//! Not supported: `SCMP_ACT_NOTIFY`, which needs a process that answers. Flags are checked and otherwise left alone, as
//! they change how the filter is loaded and logged, never what it decides.

use serde::Deserialize;

use super::architecture::Architecture;
use super::profile::Profile;
use super::rule_text::{ActionName, RuleText, or_nothing};
use crate::CapabilitySet;

/// A profile as it was written, before circumstances are known.
///
/// Fields nobody knows are passed over and `null` is as good as nothing, as in the programs that this format comes
/// from.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    default_action: ActionName,
    default_errno_ret: Option<u64>,
    #[serde(default, deserialize_with = "or_nothing")]
    architectures: Vec<String>,
    #[serde(default, deserialize_with = "or_nothing")]
    arch_map: Vec<ArchitectureGroup>,
    #[serde(default, deserialize_with = "or_nothing")]
    flags: Vec<String>,
    #[serde(default, deserialize_with = "or_nothing")]
    syscalls: Vec<RuleText>,
}

/// What a profile may depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circumstances {
    /// The process's bounding set.
    pub capabilities: CapabilitySet,
    /// First two numbers of the kernel's version.
    pub kernel: (u32, u32),
    /// What the machine is.
    pub architecture: Architecture,
}

/// Why a text is no profile, or none that can be carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// Not JSON, or not of this form.
    #[error("the seccomp profile cannot be read")]
    Json(#[from] serde_json::Error),
    /// Two lists where there has to be one.
    #[error("the seccomp profile has both `{first}` and `{second}`, of which one is wanted")]
    Both {
        /// One of them.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// Nobody knows it.
    #[error("the seccomp profile names the unknown {what} `{name}`")]
    Unknown {
        /// Architecture or flag.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// `SCMP_ACT_NOTIFY`.
    #[error("the seccomp profile uses `SCMP_ACT_NOTIFY`, which podyard does not support")]
    Notify,
    /// No argument has this position.
    #[error("the seccomp profile compares argument {index} of `{call}`; arguments are 0 to 5")]
    Argument {
        /// The call.
        call: String,
        /// The position.
        index: u64,
    },
    /// No error has this number.
    #[error("the seccomp profile answers with errno {errno}; they end at 4095")]
    Errno {
        /// The number.
        errno: u64,
    },
    /// Not `major.minor`.
    #[error("the seccomp profile asks for kernel `{text}`, which is no version such as `4.8`")]
    Kernel {
        /// What was given.
        text: String,
    },
}

impl Circumstances {
    /// Those of a process with these capabilities, here and now.
    #[must_use]
    pub fn here(capabilities: CapabilitySet) -> Self {
        let release = rustix::system::uname();
        let kernel = release.release().to_str().ok().and_then(version);
        Self {
            capabilities,
            kernel: kernel.unwrap_or_default(),
            architecture: Architecture::native(),
        }
    }

    /// `CAP_…`. What this machine does not know, nobody has.
    pub(super) fn have(&self, capability: &str) -> bool {
        let name = capability.strip_prefix("CAP_").unwrap_or(capability);
        name.parse()
            .is_ok_and(|capability| self.capabilities.contains(capability))
    }
}

impl Document {
    /// Reads a profile.
    ///
    /// # Errors
    /// When the text is no JSON of this form.
    pub fn from_json(text: &[u8]) -> Result<Self, ProfileError> {
        Ok(serde_json::from_slice(text)?)
    }

    /// The profile for these circumstances.
    ///
    /// # Errors
    /// When it asks for what does not exist or cannot be done.
    pub fn resolve(&self, circumstances: &Circumstances) -> Result<Profile, ProfileError> {
        const FLAGS: [&str; 4] = [
            "SECCOMP_FILTER_FLAG_TSYNC",
            "SECCOMP_FILTER_FLAG_LOG",
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
        ];
        if let Some(flag) = self
            .flags
            .iter()
            .find(|flag| !FLAGS.contains(&flag.as_str()))
        {
            return Err(ProfileError::Unknown {
                what: "flag",
                name: flag.clone(),
            });
        }
        let mut rules = Vec::new();
        for text in &self.syscalls {
            if text.applies(circumstances)? {
                text.add_to(&mut rules)?;
            }
        }
        Ok(Profile {
            default_action: self.default_action.with(self.default_errno_ret)?,
            architectures: self.architectures(circumstances.architecture)?,
            rules,
        })
    }

    /// The machine's own always, as with libseccomp, and those of the profile that the machine can serve.
    fn architectures(&self, native: Architecture) -> Result<Vec<Architecture>, ProfileError> {
        if !self.architectures.is_empty() && !self.arch_map.is_empty() {
            return Err(ProfileError::Both {
                first: "architectures",
                second: "archMap",
            });
        }
        let mut found = vec![native];
        let mut add = |names: &[String]| -> Result<(), ProfileError> {
            for name in names {
                let architecture = architecture(name)?;
                found.extend(architecture.filter(|known| native.with_companions().contains(known)));
            }
            Ok(())
        };
        add(&self.architectures)?;
        for group in &self.arch_map {
            if architecture(&group.architecture)? == Some(native) {
                add(&group.sub_architectures)?;
            }
        }
        Ok(found)
    }
}

/// Which conventions come with a machine's own (Docker).
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchitectureGroup {
    architecture: String,
    #[serde(default, deserialize_with = "or_nothing")]
    sub_architectures: Vec<String>,
}

/// `SCMP_ARCH_…`. `None` is for those that no machine podyard runs on serves.
fn architecture(name: &str) -> Result<Option<Architecture>, ProfileError> {
    const OTHERS: [&str; 18] = [
        "MIPS",
        "MIPS64",
        "MIPS64N32",
        "MIPSEL",
        "MIPSEL64",
        "MIPSEL64N32",
        "PPC",
        "PPC64",
        "PPC64LE",
        "S390",
        "S390X",
        "PARISC",
        "PARISC64",
        "RISCV64",
        "LOONGARCH64",
        "M68K",
        "SH",
        "SHEB",
    ];
    let unknown = || ProfileError::Unknown {
        what: "architecture",
        name: name.to_owned(),
    };
    Ok(Some(
        match name.strip_prefix("SCMP_ARCH_").ok_or_else(unknown)? {
            "X86_64" => Architecture::X86_64,
            "X86" => Architecture::X86,
            "X32" => Architecture::X32,
            "AARCH64" => Architecture::Aarch64,
            "ARM" => Architecture::Arm,
            other if OTHERS.contains(&other) => return Ok(None),
            _ => return Err(unknown()),
        },
    ))
}

/// The first two numbers of `6.18.44-something`.
pub(super) fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.');
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?;
    let digits = minor
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(minor.len());
    Some((major, minor[..digits].parse().ok()?))
}
