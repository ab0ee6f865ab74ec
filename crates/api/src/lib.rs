//! Kubernetes objects as text and as types: decode, default, validate, print.
//!
//! Pure: no I/O, no clock, no environment, no randomness. Texts come in as [`Source`]s, and what comes out is a pod as the
//! API server would have stored it, or everything that is wrong with it, each problem with its place in the text.
//!
//! ```text
//! Source ─ decode ─▶ Object + Document ─ defaults ─▶ ─ validate, support ─▶ ValidPod
//! ```
//!
//! [`load`] does all of it.

#![forbid(unsafe_code)]

pub use k8s_openapi;
pub use k8s_openapi::api::core::v1 as core;
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
pub use k8s_openapi::jiff;

pub mod compat;
pub mod decode;
pub mod defaults;
pub mod diagnostic;
mod ephemeral;
pub mod go;
pub mod limits;
mod load;
pub mod names;
mod notices;
pub mod object;
pub mod patch;
pub mod path;
mod qos;
pub mod quantity;
pub mod render;
pub mod restart_pod;
pub mod selector;
pub mod source;
pub mod status;
mod suggest;
pub mod tree;
pub mod validate;
pub mod workloads;

pub use diagnostic::{Diagnostic, Diagnostics, Kind, ObjectName, Severity};
pub use ephemeral::as_container as ephemeral_as_container;
pub use load::{LoadOptions, Objects, ValidPod, load};
pub use path::Path;
pub use qos::{effective_limits, effective_requests, is_sidecar, qos_class};
pub use source::{Source, Span};
pub use workloads::{ValidWorkload, Workload};
