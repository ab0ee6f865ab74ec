//! One thing that a check has found.

use std::fmt;

use podyard_api::{ObjectName, Path, Span};

use crate::catalog::Check;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; often intended.
    Remark,
    /// Something does not do what it seems to.
    Warning,
    /// It cannot work as it stands.
    Error,
}

impl Severity {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Remark => "remark",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Which check found it.
    pub check: &'static Check,
    /// What is wrong here, with names.
    pub message: String,
    /// What to change here.
    pub fix: String,
    /// The field.
    pub path: Path,
    /// Where that is in the text.
    pub span: Span,
    /// Other places that belong to it.
    pub related: Vec<(Span, String)>,
    /// The object it is about.
    pub object: ObjectName,
}
