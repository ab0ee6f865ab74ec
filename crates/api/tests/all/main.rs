//! Whole manifests through the public interface of the crate. One program, since each would link all of Kubernetes' types.

mod compat;
mod corpus;
mod fields;
mod golden;
mod hostile;
mod invalid;
mod load;
mod loaded;
mod status;
