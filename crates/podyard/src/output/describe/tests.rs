//! A whole description, character by character.

use super::*;
use crate::objects::core::{
    ContainerPort, EmptyDirVolumeSource, EnvVar, EventSource, ObjectReference, PodIP, Volume,
    VolumeMount,
};
use crate::output::samples::{
    PodChanges as _, START, StatusExt as _, app, exited, init, pod, running, time,
};

fn sample() -> Pod {
    let mut pod = pod(
        "Running",
        [
            init("config-generator", exited(0)),
            app("nginx", running().restarted(1).last_ended_at(START + 3)),
        ],
    )
    .ready();
    pod.metadata.labels = Some(
        [
            ("app".to_owned(), "web".to_owned()),
            ("tier".to_owned(), "front".to_owned()),
        ]
        .into(),
    );
    let spec = pod.spec.as_mut().expect("a specification");
    spec.node_name = Some("box".to_owned());
    spec.volumes = Some(vec![Volume {
        name: "config".to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    }]);
    let mount = VolumeMount {
        name: "config".to_owned(),
        mount_path: "/etc/nginx/conf.d".to_owned(),
        ..VolumeMount::default()
    };
    spec.init_containers.as_mut().expect("one")[0].command = Some(vec![
        "sh".to_owned(),
        "-c".to_owned(),
        "echo\ntrue".to_owned(),
    ]);
    spec.containers[0].volume_mounts = Some(vec![mount]);
    spec.containers[0].env = Some(vec![EnvVar {
        name: "MODE".to_owned(),
        value: Some("fast".to_owned()),
        value_from: None,
    }]);
    spec.containers[0].ports = Some(vec![ContainerPort {
        container_port: 80,
        host_port: Some(8080),
        ..ContainerPort::default()
    }]);
    let status = pod.status.as_mut().expect("a status");
    status.host_ip = Some("192.0.2.1".to_owned());
    status.pod_ip = Some("10.88.0.2".to_owned());
    status.pod_ips = Some(vec![PodIP {
        ip: "10.88.0.2".to_owned(),
    }]);
    status.qos_class = Some("BestEffort".to_owned());
    pod
}

fn started_event() -> Event {
    Event {
        type_: Some("Normal".to_owned()),
        reason: Some("Started".to_owned()),
        message: Some("Container started".to_owned()),
        count: Some(2),
        first_timestamp: Some(time(START)),
        last_timestamp: Some(time(START + 4)),
        source: Some(EventSource {
            component: Some("podyard".to_owned()),
            host: None,
        }),
        involved_object: ObjectReference {
            field_path: Some("spec.containers{nginx}".to_owned()),
            ..ObjectReference::default()
        },
        ..Event::default()
    }
}

#[test]
fn the_layout_is_that_of_kubectl() {
    let now = time(START + 5).0;
    let expected = "\
Verdict:      running: 1 of 1 containers are ready
Name:         web
Namespace:    default
Node:         box/192.0.2.1
Start Time:   Mon, 12 Jan 1970 13:46:40 +0000
Labels:       app=web
              tier=front
Annotations:  <none>
Status:       Running
IP:           10.88.0.2
IPs:
  IP:  10.88.0.2
Init Containers:
  config-generator:
    Container ID:  
    Image:         busybox:latest
    Image ID:      
    Port:          <none>
    Host Port:     <none>
    Command:
      sh
      -c
      echo
      true
    State:          Terminated
      Reason:       Completed
      Exit Code:    0
      Started:      Mon, 12 Jan 1970 13:46:40 +0000
      Finished:     Mon, 12 Jan 1970 13:46:41 +0000
    Ready:          True
    Restart Count:  0
    Environment:    <none>
    Mounts:         <none>
Containers:
  nginx:
    Container ID:   
    Image:          busybox:latest
    Image ID:       
    Port:           80/TCP
    Host Port:      8080/TCP
    State:          Running
      Started:      Mon, 12 Jan 1970 13:46:40 +0000
    Last State:     Terminated
      Reason:       Error
      Exit Code:    1
      Started:      Mon, 12 Jan 1970 13:46:40 +0000
      Finished:     Mon, 12 Jan 1970 13:46:43 +0000
    Ready:          True
    Restart Count:  1
    Environment:
      MODE:  fast
    Mounts:
      /etc/nginx/conf.d from config (rw)
Conditions:
  Type              Status
  ContainersReady   True 
  Ready             True 
Volumes:
  config:
    Type:        EmptyDir (a temporary directory that shares a pod's lifetime)
    Medium:      
    SizeLimit:   <unset>
QoS Class:       BestEffort
Node-Selectors:  <none>
Tolerations:     <none>
Events:
  Type    Reason   Age              From     Message
  ----    ------   ----             ----     -------
  Normal  Started  1s (x2 over 5s)  podyard  spec.containers{nginx}: Container started
";
    let described = describe(
        &sample(),
        &[started_event()],
        "running: 1 of 1 containers are ready",
        now,
    );
    assert_eq!(described, expected);
}

#[test]
fn a_pod_of_which_nothing_is_known_yet() {
    let mut pod = sample();
    pod.status = None;
    pod.metadata.deletion_timestamp = Some(time(START));
    let described = describe(&pod, &[], "terminating", time(START + 5).0);
    for line in [
        "Status:                    Terminating (lasts 5s)",
        "Termination Grace Period:  30s",
        "Events:          <none>",
    ] {
        assert!(described.contains(line), "{line} in\n{described}");
    }
}
