//! The container blocks of `describe pod`.

use super::optional;
use crate::objects::{
    Container, ContainerState, ContainerStatus, EnvVar, Pod, PodExt as _, Probe,
    ResourceRequirements, Time, VolumeMount,
};
use crate::output::columns::Columns;
use crate::output::escape::one_line;

/// One list of containers below its label.
pub(super) fn describe_containers(
    label: &str,
    containers: &[Container],
    pod: &Pod,
    out: &mut Columns,
) {
    out.line(0, format!("{label}:"));
    for container in containers {
        describe_container(container, pod, out);
    }
}

fn describe_container(container: &Container, pod: &Pod, out: &mut Columns) {
    let status = pod.container_status(&container.name);
    out.line(1, format!("{}:", container.name));
    if let Some(status) = status {
        out.line(
            2,
            format!(
                "Container ID:\t{}",
                status.container_id.as_deref().unwrap_or_default()
            ),
        );
    }
    out.line(
        2,
        format!(
            "Image:\t{}",
            one_line(container.image.as_deref().unwrap_or_default())
        ),
    );
    if let Some(status) = status {
        out.line(2, format!("Image ID:\t{}", one_line(&status.image_id)));
    }
    describe_ports(container, out);
    describe_words("Command", container.command.as_deref(), out);
    describe_words("Args", container.args.as_deref(), out);
    if let Some(status) = status {
        describe_status(status, out);
    }
    if let Some(resources) = &container.resources {
        describe_resources(resources, out);
    }
    let probes = [
        ("Liveness", &container.liveness_probe),
        ("Readiness", &container.readiness_probe),
        ("Startup", &container.startup_probe),
    ];
    for (label, probe) in probes {
        if let Some(probe) = probe {
            out.line(2, format!("{label}:\t{}", one_line(&probe_text(probe))));
        }
    }
    describe_environment(container, pod, out);
    describe_mounts(container, out);
}

fn describe_ports(container: &Container, out: &mut Columns) {
    let ports = container.ports.as_deref().unwrap_or_default();
    let line = |label: &str, values: Vec<String>| match values.len() {
        0 => format!("{label}:\t<none>"),
        1 => format!("{label}:\t{}", values[0]),
        _ => format!("{label}s:\t{}", values.join(", ")),
    };
    let protocol = |port: &crate::objects::core::ContainerPort| {
        port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())
    };
    let container_ports = ports.iter().map(|port| {
        let name = port
            .name
            .as_ref()
            .filter(|name| !name.is_empty())
            .map(|name| format!(" ({name})"))
            .unwrap_or_default();
        format!("{}/{}{name}", port.container_port, protocol(port))
    });
    out.line(2, line("Port", container_ports.collect()));
    let host_ports = ports.iter().map(|port| {
        let name = port
            .name
            .as_ref()
            .filter(|name| !name.is_empty())
            .map(|name| format!(" ({name})"))
            .unwrap_or_default();
        format!("{}/{}{name}", port.host_port.unwrap_or(0), protocol(port))
    });
    out.line(2, line("Host Port", host_ports.collect()));
}

fn describe_words(label: &str, words: Option<&[String]>, out: &mut Columns) {
    let words = words.unwrap_or_default();
    if words.is_empty() {
        return;
    }
    out.line(2, format!("{label}:"));
    for line in words.iter().flat_map(|word| word.split('\n')) {
        out.line(3, one_line(line));
    }
}

fn describe_status(status: &ContainerStatus, out: &mut Columns) {
    describe_state("State", status.state.as_ref(), out);
    if status
        .last_state
        .as_ref()
        .is_some_and(|state| state.terminated.is_some())
    {
        describe_state("Last State", status.last_state.as_ref(), out);
    }
    out.line(
        2,
        format!("Ready:\t{}", if status.ready { "True" } else { "False" }),
    );
    out.line(2, format!("Restart Count:\t{}", status.restart_count));
}

fn describe_state(label: &str, state: Option<&ContainerState>, out: &mut Columns) {
    let non_empty = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let running = state.and_then(|state| state.running.as_ref());
    let terminated = state.and_then(|state| state.terminated.as_ref());
    if let Some(running) = running {
        out.line(2, format!("{label}:\tRunning"));
        out.line(
            3,
            format!("Started:\t{}", date(running.started_at.as_ref())),
        );
    } else if let Some(end) = terminated {
        out.line(2, format!("{label}:\tTerminated"));
        if let Some(reason) = non_empty(&end.reason) {
            out.line(3, format!("Reason:\t{}", one_line(&reason)));
        }
        if let Some(message) = non_empty(&end.message) {
            out.line(3, format!("Message:\t{}", one_line(&message)));
        }
        out.line(3, format!("Exit Code:\t{}", end.exit_code));
        if let Some(signal) = end.signal.filter(|signal| *signal > 0) {
            out.line(3, format!("Signal:\t{signal}"));
        }
        out.line(3, format!("Started:\t{}", date(end.started_at.as_ref())));
        out.line(3, format!("Finished:\t{}", date(end.finished_at.as_ref())));
    } else {
        out.line(2, format!("{label}:\tWaiting"));
        if let Some(reason) = state
            .and_then(|state| state.waiting.as_ref())
            .and_then(|waiting| non_empty(&waiting.reason))
        {
            out.line(3, format!("Reason:\t{}", one_line(&reason)));
        }
    }
}

/// RFC 1123 with a numeric zone, in UTC.
pub(super) fn date(time: Option<&Time>) -> String {
    // Go's zero time, which is what kubectl prints for a time that is not set.
    time.map_or_else(
        || "Mon, 01 Jan 0001 00:00:00 +0000".to_owned(),
        |time| time.0.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string(),
    )
}

/// Limits and requests of a container or of a whole pod.
pub(super) fn describe_resources(resources: &ResourceRequirements, out: &mut Columns) {
    for (label, list) in [
        ("Limits", &resources.limits),
        ("Requests", &resources.requests),
    ] {
        let Some(list) = list.as_ref().filter(|list| !list.is_empty()) else {
            continue;
        };
        out.line(2, format!("{label}:"));
        for (name, quantity) in list {
            out.line(3, format!("{name}:\t{}", quantity.0));
        }
    }
}

/// A port's number or name, which are one field in Kubernetes.
fn port_text(port: &impl serde::Serialize) -> String {
    match serde_json::to_value(port) {
        Ok(serde_json::Value::String(name)) => name,
        Ok(number) => number.to_string(),
        Err(_) => String::new(),
    }
}

/// `http-get http://:80/ delay=0s timeout=1s period=10s #success=1 #failure=3`.
fn probe_text(probe: &Probe) -> String {
    let handler = if let Some(exec) = &probe.exec {
        format!(
            "exec [{}]",
            exec.command.as_deref().unwrap_or_default().join(" ")
        )
    } else if let Some(get) = &probe.http_get {
        let scheme = get.scheme.as_deref().unwrap_or("HTTP").to_ascii_lowercase();
        let path = get.path.as_deref().unwrap_or_default();
        let slash = if path.starts_with('/') || path.is_empty() {
            ""
        } else {
            "/"
        };
        format!(
            "http-get {scheme}://{}:{}{slash}{path}",
            get.host.as_deref().unwrap_or_default(),
            port_text(&get.port)
        )
    } else if let Some(socket) = &probe.tcp_socket {
        format!(
            "tcp-socket {}:{}",
            socket.host.as_deref().unwrap_or_default(),
            port_text(&socket.port)
        )
    } else if let Some(grpc) = &probe.grpc {
        format!(
            "grpc <pod>:{} {}",
            grpc.port,
            grpc.service.as_deref().unwrap_or_default()
        )
    } else {
        "unknown".to_owned()
    };
    format!(
        "{handler} delay={}s timeout={}s period={}s #success={} #failure={}",
        probe.initial_delay_seconds.unwrap_or(0),
        probe.timeout_seconds.unwrap_or(1),
        probe.period_seconds.unwrap_or(10),
        probe.success_threshold.unwrap_or(1),
        probe.failure_threshold.unwrap_or(3),
    )
}

fn describe_environment(container: &Container, pod: &Pod, out: &mut Columns) {
    let sources = container.env_from.as_deref().unwrap_or_default();
    if !sources.is_empty() {
        out.line(2, "Environment Variables from:");
    }
    for source in sources {
        let (kind, name, is_optional) = match (&source.config_map_ref, &source.secret_ref) {
            (Some(map), _) => ("ConfigMap", &map.name, map.optional),
            (None, Some(secret)) => ("Secret", &secret.name, secret.optional),
            (None, None) => continue,
        };
        let prefix = source.prefix.as_deref().filter(|prefix| !prefix.is_empty());
        let prefix = prefix
            .map(|prefix| format!(" with prefix '{prefix}'"))
            .unwrap_or_default();
        out.line(
            3,
            format!(
                "{name}\t{kind}{prefix}\tOptional: {}",
                optional(is_optional)
            ),
        );
    }
    let variables = container.env.as_deref().unwrap_or_default();
    out.line(
        2,
        if variables.is_empty() {
            "Environment:\t<none>"
        } else {
            "Environment:"
        },
    );
    for variable in variables {
        describe_variable(variable, pod, out);
    }
}

fn describe_variable(variable: &EnvVar, pod: &Pod, out: &mut Columns) {
    let name = &variable.name;
    let Some(source) = &variable.value_from else {
        for (index, line) in variable
            .value
            .as_deref()
            .unwrap_or_default()
            .split('\n')
            .enumerate()
        {
            let label = if index == 0 {
                format!("{name}:")
            } else {
                String::new()
            };
            out.line(3, format!("{label}\t{}", one_line(line)));
        }
        return;
    };
    let text = if let Some(field) = &source.field_ref {
        let version = field.api_version.as_deref().unwrap_or("v1");
        format!(
            "{} ({version}:{})",
            field_value(pod, &field.field_path),
            field.field_path
        )
    } else if let Some(resource) = &source.resource_field_ref {
        format!("({})", resource.resource)
    } else if let Some(secret) = &source.secret_key_ref {
        format!(
            "<set to the key '{}' in secret '{}'>\tOptional: {}",
            secret.key,
            secret.name,
            optional(secret.optional)
        )
    } else if let Some(map) = &source.config_map_key_ref {
        format!(
            "<set to the key '{}' of config map '{}'>\tOptional: {}",
            map.key,
            map.name,
            optional(map.optional)
        )
    } else if let Some(file) = &source.file_key_ref {
        format!(
            "<set to the key '{}' of file '{}' in volume '{}'>\tOptional: {}",
            file.key,
            file.path,
            file.volume_name,
            optional(file.optional)
        )
    } else {
        String::new()
    };
    out.line(3, format!("{name}:\t{text}"));
}

/// The fields that are known before a container starts; the others stay empty, as with kubectl.
fn field_value<'a>(pod: &'a Pod, path: &str) -> &'a str {
    let status = pod.status.as_ref();
    match path {
        "metadata.name" => pod.name(),
        "metadata.namespace" => pod.namespace(),
        "metadata.uid" => pod.metadata.uid.as_deref().unwrap_or_default(),
        "spec.nodeName" => pod
            .spec
            .as_ref()
            .and_then(|spec| spec.node_name.as_deref())
            .unwrap_or_default(),
        "status.podIP" => status
            .and_then(|status| status.pod_ip.as_deref())
            .unwrap_or_default(),
        "status.hostIP" => status
            .and_then(|status| status.host_ip.as_deref())
            .unwrap_or_default(),
        _ => "",
    }
}

fn describe_mounts(container: &Container, out: &mut Columns) {
    let mut mounts: Vec<&VolumeMount> = container.volume_mounts.iter().flatten().collect();
    mounts.sort_by(|one, two| one.mount_path.cmp(&two.mount_path));
    out.line(
        2,
        if mounts.is_empty() {
            "Mounts:\t<none>"
        } else {
            "Mounts:"
        },
    );
    for mount in mounts {
        let mut flags = vec![if mount.read_only == Some(true) {
            "ro".to_owned()
        } else {
            "rw".to_owned()
        }];
        if let Some(path) = mount.sub_path.as_deref().filter(|path| !path.is_empty()) {
            flags.push(format!("path={path:?}"));
        }
        out.line(
            3,
            format!(
                "{} from {} ({})",
                one_line(&mount.mount_path),
                mount.name,
                one_line(&flags.join(","))
            ),
        );
    }
    let devices = container.volume_devices.as_deref().unwrap_or_default();
    if !devices.is_empty() {
        out.line(2, "Devices:");
    }
    for device in devices {
        out.line(
            3,
            format!("{} from {}", one_line(&device.device_path), device.name),
        );
    }
}
