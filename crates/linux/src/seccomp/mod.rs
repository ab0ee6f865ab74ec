//! System call filters: from rules to BPF, and the profile container runtimes use by default.

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
