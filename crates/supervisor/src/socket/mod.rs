//! The pod's socket: HTTP with the paths of Kubernetes where Kubernetes has one, so that an API server can pass streams through.

mod change;
pub(crate) mod channels;
pub(crate) mod client;
mod metrics;
pub(crate) mod serve;
pub(crate) mod stream;
