//! Containers that are added to a running pod.

use crate::core::{Container, EphemeralContainer};

/// What an ephemeral container has in common with others, which is everything but its target and what validation forbids it. Most of what is
/// asked of a container can be asked of it then.
#[must_use]
pub fn as_container(ephemeral: &EphemeralContainer) -> Container {
    let EphemeralContainer {
        name,
        image,
        image_pull_policy,
        command,
        args,
        working_dir,
        env,
        env_from,
        volume_mounts,
        volume_devices,
        security_context,
        stdin,
        stdin_once,
        tty,
        termination_message_path,
        termination_message_policy,
        ..
    } = ephemeral.clone();
    Container {
        name,
        image,
        image_pull_policy,
        command,
        args,
        working_dir,
        env,
        env_from,
        volume_mounts,
        volume_devices,
        security_context,
        stdin,
        stdin_once,
        tty,
        termination_message_path,
        termination_message_policy,
        ..Container::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_allowed_is_lost() {
        let object = serde_json::json!({
            "name": "d", "image": "x", "imagePullPolicy": "Never", "command": ["a"], "args": ["b"], "workingDir": "/w",
            "env": [{"name": "A"}], "envFrom": [{"prefix": "p"}], "volumeMounts": [{"name": "v", "mountPath": "/v"}],
            "volumeDevices": [{"name": "v", "devicePath": "/v"}], "securityContext": {"runAsUser": 1},
            "stdin": true, "stdinOnce": true, "tty": true, "terminationMessagePath": "/t", "terminationMessagePolicy": "File",
        });
        let ephemeral = serde_json::from_value(object.clone()).expect("a container");
        let container = serde_json::to_value(as_container(&ephemeral)).expect("a container");
        assert_eq!(container, object);
    }
}
