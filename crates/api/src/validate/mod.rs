//! The rules of the API server for Pods, ConfigMaps and Secrets: every error at once, in its order, with its words.
//!
//! All of them look at defaulted objects. What podyard itself cannot do yet is another question and another module,
//! `support`.

use crate::diagnostic::Diagnostic;
use crate::limits::MAX_PROBLEMS;
use crate::path::Path;

mod annotations;
mod claims;
mod common;
mod config;
mod containers;
mod disks;
mod env;
mod jobs;
mod metadata;
mod mounts;
mod network;
mod operating_system;
mod pod;
mod pod_resources;
mod pod_update;
mod probes;
mod projected;
mod references;
mod resources;
mod restart;
mod scheduling;
mod security;
mod selectors;
mod service;
mod success;
mod volume_sources;
mod volumes;
mod workloads;

pub use claims::{persistent_volume_claim, persistent_volume_claim_update};
pub use config::{config_map, config_map_update, secret, secret_update};
pub use pod::pod;
pub use pod_update::{ephemeral_containers_update, pod_update};
pub use service::service;
pub use workloads::workload;

/// What has been found so far.
#[derive(Default)]
struct Found(Vec<Diagnostic>);

impl Found {
    /// One more than will be shown is kept, as a sign that there are more.
    fn add(&mut self, diagnostic: Diagnostic) {
        if !self.is_full() {
            self.0.push(diagnostic);
        }
    }

    fn is_full(&self) -> bool {
        self.0.len() > MAX_PROBLEMS
    }

    /// One `Invalid value` for each message about `text`.
    fn each(&mut self, path: &Path, text: &str, messages: Vec<String>) {
        for message in messages {
            self.add(Diagnostic::invalid(path, text, &message));
        }
    }

    /// `Unsupported value` unless `text` is among `supported`, which are printed in this order.
    fn one_of(&mut self, path: &Path, text: &str, supported: &[&str]) {
        if !supported.contains(&text) {
            self.add(Diagnostic::unsupported(path, text, supported));
        }
    }
}
