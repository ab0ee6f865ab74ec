//! Services.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::pod::text;
use super::{Found, metadata};
use crate::core::Service;
use crate::diagnostic::Diagnostic;
use crate::names;
use crate::path::Path;

/// What is wrong with a defaulted Service, as far as it matters where no proxy runs: its name, type and ports.
#[must_use]
pub fn service(service: &Service) -> Vec<Diagnostic> {
    let mut found = Found::default();
    metadata::metadata(&mut found, &Path::fields("metadata"), &service.metadata);
    let path = Path::fields("spec");
    let none = crate::core::ServiceSpec::default();
    let spec = service.spec.as_ref().unwrap_or(&none);
    let ports = spec.ports.as_deref().unwrap_or_default();
    let is_headless = spec.cluster_ip.as_deref() == Some("None");
    let is_name = text(spec.type_.as_ref()) == "ExternalName";
    if ports.is_empty() && !is_headless && !is_name {
        found.add(Diagnostic::required(&path.field("ports"), ""));
    }
    for (index, port) in ports.iter().enumerate() {
        let path = path.field("ports").index(index);
        let name = text(port.name.as_ref());
        if !name.is_empty() {
            found.label(&path.field("name"), name);
        } else if ports.len() > 1 {
            found.add(Diagnostic::required(&path.field("name"), ""));
        }
        found.port_number(&path.field("port"), port.port);
        found.one_of(
            &path.field("protocol"),
            text(port.protocol.as_ref()),
            &["SCTP", "TCP", "UDP"],
        );
        match &port.target_port {
            Some(IntOrString::Int(number)) => found.port_number(&path.field("targetPort"), *number),
            Some(IntOrString::String(name)) => {
                found.each(&path.field("targetPort"), name, names::port_name(name));
            }
            None => {}
        }
    }
    metadata::labels(&mut found, &path.field("selector"), spec.selector.as_ref());
    found.one_of(
        &path.field("type"),
        text(spec.type_.as_ref()),
        &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"],
    );
    found.0
}
