//! Names of Go types and Go's ways of reading, needed only to give the API server's decoding errors letter for letter.

/// The struct that Go inlines around `field` of `of`; newer decoders name it in paths.
pub(super) fn inlined(of: &str, field: &str) -> Option<&'static str> {
    match (of, field) {
        ("Volume", "name") => None,
        ("Volume", _) => Some("VolumeSource"),
        ("Probe", "exec" | "httpGet" | "tcpSocket" | "grpc") => Some("ProbeHandler"),
        (
            "ConfigMapKeySelector"
            | "SecretKeySelector"
            | "ConfigMapEnvSource"
            | "SecretEnvSource"
            | "ConfigMapVolumeSource"
            | "ConfigMapProjection"
            | "SecretProjection",
            "name",
        ) => Some("LocalObjectReference"),
        _ => None,
    }
}

/// Fields whose Go type is a named string: those are printed by that name.
pub(super) fn named(of: &str, field: &str, _list: bool) -> Option<&'static str> {
    Some(match (of, field) {
        ("VolumeMount", "recursiveReadOnly") => "v1.RecursiveReadOnlyMode",
        ("VolumeMount", "mountPropagation") => "v1.MountPropagationMode",
        ("Capabilities", "add" | "drop") => "[]v1.Capability",
        ("PodSpec", "restartPolicy") => "v1.RestartPolicy",
        ("PodSpec", "dnsPolicy") => "v1.DNSPolicy",
        ("PodSpec", "preemptionPolicy") => "v1.PreemptionPolicy",
        ("Container", "restartPolicy") => "v1.ContainerRestartPolicy",
        ("Container", "imagePullPolicy") => "v1.PullPolicy",
        ("Container", "terminationMessagePolicy") => "v1.TerminationMessagePolicy",
        ("ContainerPort", "protocol") => "v1.Protocol",
        ("HostPathVolumeSource", "type") => "v1.HostPathType",
        ("EmptyDirVolumeSource", "medium") => "v1.StorageMedium",
        ("HTTPGetAction", "scheme") => "v1.URIScheme",
        ("SeccompProfile", "type") => "v1.SeccompProfileType",
        ("Secret", "type") => "v1.SecretType",
        _ => return None,
    })
}

/// The Go name of a Rust type, from the name the compiler gives it: `[]v1.Container`, `map[string]string`.
pub(super) fn of(rust: &str) -> String {
    let Some((outer, inner)) = rust.split_once('<') else {
        let last = rust.rsplit("::").next().unwrap_or(rust);
        return match last {
            "String" => "string".to_owned(),
            "i32" | "i64" => last.replace('i', "int"),
            "ByteString" => "[]uint8".to_owned(),
            "Quantity" => "resource.Quantity".to_owned(),
            _ => format!("v1.{last}"),
        };
    };
    let inner = inner.trim_end_matches('>');
    match outer.rsplit("::").next().unwrap_or(outer) {
        "Vec" => format!("[]{}", of(inner)),
        "BTreeMap" => {
            let value = inner.split_once(", ").map_or(inner, |(_, value)| value);
            match of(value).as_str() {
                "resource.Quantity" => "v1.ResourceList".to_owned(),
                value => format!("map[string]{value}"),
            }
        }
        _ => of(inner),
    }
}

/// Where Go's base64 decoder stops, if it does. It skips line breaks and counts them.
pub(super) fn base64_fault(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        let mut digits = 0;
        while digits < 4 {
            let Some(byte) = bytes.get(at) else {
                return (digits > 0).then(|| at - digits);
            };
            match byte {
                b'\r' | b'\n' => at += 1,
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' => {
                    at += 1;
                    digits += 1;
                }
                b'=' if digits >= 2 => return padding_fault(bytes, at, digits),
                _ => return Some(at),
            }
        }
    }
}

/// What is wrong from the first `=` on.
fn padding_fault(bytes: &[u8], first: usize, digits: usize) -> Option<usize> {
    let skip = |mut at: usize| {
        while matches!(bytes.get(at), Some(b'\r' | b'\n')) {
            at += 1;
        }
        at
    };
    let mut at = skip(first + 1);
    if digits == 2 {
        match bytes.get(at) {
            None => return Some(bytes.len()),
            Some(b'=') => at = skip(at + 1),
            Some(_) => return Some(at),
        }
    }
    (at < bytes.len()).then_some(at)
}

/// Fields that exist, but elsewhere: what to do instead.
pub(super) fn misplaced(of: &str, field: &str) -> Option<&'static str> {
    Some(match (of, field) {
        ("Pod", "containers" | "initContainers" | "volumes" | "restartPolicy") => {
            "it belongs under `spec`"
        }
        ("Pod", "name" | "labels" | "namespace" | "annotations") => "it belongs under `metadata`",
        (
            "PodSecurityContext",
            "privileged"
            | "capabilities"
            | "allowPrivilegeEscalation"
            | "readOnlyRootFilesystem"
            | "procMount",
        ) => "it belongs into the `securityContext` of each container",
        (
            "SecurityContext",
            "fsGroup" | "fsGroupChangePolicy" | "supplementalGroups" | "sysctls",
        ) => "it belongs into `spec.securityContext`, for the whole pod",
        ("SecretVolumeSource", "name") => "did you mean `secretName`?",
        (
            "ConfigMapVolumeSource" | "ConfigMapKeySelector" | "ConfigMapEnvSource",
            "configMapName",
        ) => "did you mean `name`?",
        ("Volume", "mountPath") => "it belongs into a container's `volumeMounts`",
        ("VolumeMount", "emptyDir" | "hostPath" | "configMap" | "secret") => {
            "it belongs into `spec.volumes`"
        }
        ("Container", "volumes") => {
            "`volumes` belongs under `spec`; a container has `volumeMounts`"
        }
        ("Container", "hostNetwork" | "initContainers") => {
            "it belongs under `spec`, for the whole pod"
        }
        ("PodSpec", "image" | "command" | "args" | "env" | "ports") => {
            "it belongs into an entry of `containers`"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_faults_where_go_finds_them() {
        for (text, expected) in [
            ("eA==", None),
            ("aGVs\nbG8=\n", None),
            ("hunter2", Some(4)),
            ("hello!", Some(5)),
            ("password", None),
            ("eA=", Some(3)),
        ] {
            assert_eq!(base64_fault(text), expected, "{text:?}");
        }
    }

    #[test]
    fn go_names() {
        assert_eq!(of("alloc::vec::Vec<alloc::string::String>"), "[]string");
        assert_eq!(
            of("alloc::vec::Vec<k8s_openapi::v1_36::api::core::v1::container::Container>"),
            "[]v1.Container"
        );
        assert_eq!(
            of(
                "alloc::collections::btree::map::BTreeMap<alloc::string::String, alloc::string::String>"
            ),
            "map[string]string"
        );
    }
}
