//! The rules of the API server for Pods: every error at once, in its order, with its words (`bad-manifests.md`).

use crate::core::Pod;
use crate::diagnostic::Diagnostic;
use crate::path::Path;

/// Everything that is wrong with a defaulted pod.
#[must_use]
pub fn pod(pod: &Pod) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let spec = Path::fields("spec");
    let containers = pod.spec.as_ref().map_or(&[][..], |spec| &spec.containers);
    if containers.is_empty() {
        found.push(Diagnostic::required(&spec.field("containers"), ""));
    }
    found
}
