//! What the kubelet would report as Events (`pod-lifecycle.md` section 9), one at a time; counting
//! equal ones together is left to whoever keeps them.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Normal or a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// Part of a healthy life.
    Normal,
    /// Something for a person to look at.
    Warning,
}

/// One Event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When it happened.
    pub at: Timestamp,
    /// Normal or a warning.
    pub kind: EventKind,
    /// One word in camel case.
    pub reason: String,
    /// A sentence.
    pub message: String,
    /// `spec.initContainers{name}` or `spec.containers{name}`; the pod itself without.
    pub field_path: Option<String>,
}
