//! Kubernetes objects as text and as types: decode, default, validate, print.
//!
//! No I/O, no clock, no environment.

#![forbid(unsafe_code)]

pub use k8s_openapi::api::core::v1 as core;
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
pub use k8s_openapi::jiff;

mod qos;
pub mod quantity;

pub use qos::qos_class;
