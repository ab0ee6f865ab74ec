//! System call filters: from rules to BPF, and the profile container runtimes use by default.
//!
//! ```text
//! JSON ─▶ Document ── resolve(circumstances) ──▶ Profile ── names ──▶ KnownProfile ── compile() ──▶ Program
//! RuntimeDefault ── capabilities ─────────────────────────────────────────▲
//! ```
//!
//! No C library takes part. Filters are compiled in the parent, once for each profile and set of capabilities; the
//! launcher loads one by a single system call in the child.

mod architecture;
mod assemble;
mod compile;
mod document;
mod profile;
mod rule_text;
mod runtime_default;
mod tables;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use architecture::Architecture;
pub use compile::{CompileError, INSTRUCTION_LIMIT};
pub use document::{Circumstances, Document, ProfileError};
pub use profile::{Action, Argument, Comparison, Condition, Profile, Rule};

use crate::CapabilitySet;
pub use crate::sys::privileges::Instruction;

/// A compiled filter, ready to be loaded as often as wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    instructions: Vec<Instruction>,
}

impl Program {
    /// Its instructions.
    #[must_use]
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }
}

/// The default profile of container runtimes for a process with these capabilities in its bounding set.
///
/// Takes a twentieth of a millisecond, as its calls were looked up when this was compiled, and gives the same for the same
/// capabilities: worth keeping, not worth hiding.
#[must_use]
pub fn runtime_default(capabilities: CapabilitySet) -> Arc<Program> {
    let profile = runtime_default::profile(capabilities, Architecture::native());
    // Capabilities can only add to it, and the tests compile it with none and with all of them.
    Arc::new(profile.compile().expect("the default profile is short"))
}
