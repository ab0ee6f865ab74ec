//! Probes against real servers in real pods: each handler, its verdicts and its words. When rounds are due is the scenarios' subject.

use podyard_e2e::{Instance, container};

/// Waits for an event with this reason whose message holds `text`.
fn wait_for_event(podyard: &Instance, reason: &str, text: &str) {
    podyard.wait_for("p", &format!("event {reason} with {text:?}"), |_| {
        podyard
            .messages("p", reason)
            .iter()
            .any(|message| message.contains(text))
    });
}

const NGINX: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: conf}
data:
  default.conf: |
    log_format who '$http_user_agent|$http_host|$http_accept|$request_uri';
    access_log /dev/stdout who;
    server {
      listen 80;
      location = /ok { return 200 "fine"; }
      location = /nope { return 404; }
      location = /away { return 302 http://other.test/; }
      location = /here { return 302 /broken; }
      location = /broken { return 500; }
    }
    server {
      listen 443 ssl;
      ssl_certificate /tls/cert.pem;
      ssl_certificate_key /tls/key.pem;
      location / { return 200 "secret"; }
    }
    server {
      listen 50051 http2;
      root /grpc;
      default_type application/grpc;
      add_trailer grpc-status 0 always;
      # A static file answers no POST, which is all that gRPC speaks.
      error_page 405 =200 $uri;
    }
"#;

/// nginx with a certificate and the file that a gRPC health service would answer with; `probes` go into its container.
fn nginx(probes: &str) -> String {
    format!(
        "{NGINX}---
apiVersion: v1
kind: Pod
metadata: {{name: p}}
spec:
  terminationGracePeriodSeconds: 1
  initContainers:
  - name: certificate
    image: openssl:latest
    imagePullPolicy: Never
    command: [openssl, req, -x509, -newkey, 'rsa:2048', -nodes, -subj, /CN=nobody, -keyout, /tls/key.pem, -out, /tls/cert.pem]
    volumeMounts: [{{name: tls, mountPath: /tls}}]
  - name: health
    image: busybox:latest
    imagePullPolicy: Never
    command:
    - sh
    - -c
    - |
      mkdir -p /grpc/grpc.health.v1.Health
      printf '\\000\\000\\000\\000\\002\\010\\001' > /grpc/grpc.health.v1.Health/Check
    volumeMounts: [{{name: grpc, mountPath: /grpc}}]
  containers:
  - name: web
    image: nginx:latest
    imagePullPolicy: Never
    ports: [{{name: web, containerPort: 80}}]
    volumeMounts:
    - {{name: conf, mountPath: /etc/nginx/conf.d}}
    - {{name: tls, mountPath: /tls}}
    - {{name: grpc, mountPath: /grpc}}
{probes}
  volumes:
  - {{name: conf, configMap: {{name: conf}}}}
  - {{name: tls, emptyDir: {{}}}}
  - {{name: grpc, emptyDir: {{}}}}
"
    )
}

#[test]
fn http_by_port_name_with_its_headers() {
    let podyard = Instance::new();
    podyard.start_text(&nginx(
        "    startupProbe: {httpGet: {path: /ok, port: web}, periodSeconds: 1, failureThreshold: 30}
    readinessProbe:
      httpGet: {path: '/ok?x=1', port: web, httpHeaders: [{name: Host, value: example.test}, {name: Accept, value: ''}]}
      periodSeconds: 1",
    ));
    podyard.wait_for_condition("p", "Ready");
    let log = podyard.logs("p", "web");
    let pod = podyard.pod("p");
    let address = pod["status"]["podIP"].as_str().expect("an address");
    assert!(
        log.contains(&format!("kube-probe/1.36|{address}:80|*/*|/ok")),
        "{log}"
    );
    assert!(
        log.contains("kube-probe/1.36|example.test|-|/ok?x=1"),
        "{log}"
    );
    podyard.finish();
}

#[test]
fn http_statuses_and_redirects() {
    for (path, reason, text) in [
        (
            "/nope",
            "Unhealthy",
            "Readiness probe failed: HTTP probe failed with statuscode: 404",
        ),
        (
            "/here",
            "Unhealthy",
            "Readiness probe failed: HTTP probe failed with statuscode: 500",
        ),
        (
            "/away",
            "ProbeWarning",
            "Readiness probe warning: Probe terminated redirects, Response body: <html>",
        ),
    ] {
        let podyard = Instance::new();
        podyard.start_text(&nginx(&format!(
            "    readinessProbe: {{httpGet: {{path: {path}, port: 80}}, periodSeconds: 1}}"
        )));
        wait_for_event(&podyard, reason, text);
        let pod = podyard.pod("p");
        assert_eq!(container(&pod, "web")["restartCount"], 0);
        if reason == "ProbeWarning" {
            podyard.wait_for_condition("p", "Ready");
        } else {
            assert_eq!(container(&pod, "web")["ready"], false);
        }
        podyard.finish();
    }
}

#[test]
fn https_believes_any_certificate() {
    let podyard = Instance::new();
    podyard.start_text(&nginx(
        "    readinessProbe: {httpGet: {port: 443, scheme: HTTPS}, periodSeconds: 1}",
    ));
    podyard.wait_for_condition("p", "Ready");
    podyard.finish();
}

#[test]
fn https_to_a_plain_server_says_so() {
    let podyard = Instance::new();
    podyard.start_text(&nginx(
        "    readinessProbe: {httpGet: {port: 80, scheme: HTTPS}, periodSeconds: 1}",
    ));
    wait_for_event(
        &podyard,
        "Unhealthy",
        "http: server gave HTTP response to HTTPS client",
    );
    podyard.finish();
}

#[test]
fn a_grpc_health_service_is_asked() {
    let podyard = Instance::new();
    podyard.start_text(&nginx(
        "    readinessProbe: {grpc: {port: 50051}, periodSeconds: 1, timeoutSeconds: 5}",
    ));
    podyard.wait_for_condition("p", "Ready");
    podyard.finish();
}

/// A pod with one busybox container; `more` goes into it.
fn busybox(command: &str, more: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: p, labels: {{app: x}}}}
spec:
  terminationGracePeriodSeconds: 30
  containers:
  - name: c
    image: busybox:latest
    imagePullPolicy: Never
    command: [sh, -c, {command:?}]
{more}
"
    )
}

#[test]
fn ports_that_nobody_listens_on() {
    let podyard = Instance::new();
    podyard.start_text(&busybox(
        "trap 'exit 0' TERM; while :; do sleep 0.1; done",
        "    livenessProbe: {tcpSocket: {port: 81}, periodSeconds: 1, failureThreshold: 1000}
    readinessProbe: {grpc: {port: 82}, periodSeconds: 1}",
    ));
    wait_for_event(&podyard, "Unhealthy", "Liveness probe failed: dial tcp ");
    wait_for_event(&podyard, "Unhealthy", ":81: connect: connection refused");
    wait_for_event(
        &podyard,
        "Unhealthy",
        "Readiness probe failed: timeout: failed to connect service \"",
    );
    podyard.finish();
}

#[test]
fn a_port_name_that_does_not_exist_moves_no_counter() {
    let podyard = Instance::new();
    podyard.start_text(&busybox(
        "trap 'exit 0' TERM; while :; do sleep 0.1; done",
        "    livenessProbe: {httpGet: {port: other}, periodSeconds: 1, failureThreshold: 1}",
    ));
    let text = "Liveness probe errored and resulted in unknown state: couldn't find port";
    wait_for_event(&podyard, "Unhealthy", text);
    assert_eq!(container(&podyard.pod("p"), "c")["restartCount"], 0);
    assert!(podyard.messages("p", "Killing").is_empty());
    podyard.finish();
}

#[test]
fn exec_output_timeout_and_literal_variables() {
    let podyard = Instance::new();
    podyard.start_text(&busybox(
        "trap 'exit 0' TERM; while :; do sleep 0.1; done",
        "    env: [{name: A, value: x}, {name: B, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
    readinessProbe: {exec: {command: [sh, -c, 'echo \"$0\"; echo err >&2; exit 3', '$(A) $(B) $$(A)']}, periodSeconds: 1}
    livenessProbe: {exec: {command: [sleep, '10']}, periodSeconds: 1, failureThreshold: 1000}",
    ));
    wait_for_event(
        &podyard,
        "Unhealthy",
        "Readiness probe failed: x $(B) $(A)\nerr\n",
    );
    let text = "Liveness probe failed: command timed out: \"sleep 10\" timed out after 1s";
    wait_for_event(&podyard, "Unhealthy", text);
    podyard.finish();
}

/// A command that leaves a child behind which holds its output open, and one that prints without end, end all the same.
#[test]
fn exec_that_misbehaves() {
    let podyard = Instance::new();
    podyard.start_text(&busybox(
        "trap 'exit 0' TERM; while :; do sleep 0.1; done",
        "    readinessProbe: {exec: {command: [sh, -c, 'sleep 1000 & echo left; exit 1']}, periodSeconds: 1}
    livenessProbe: {exec: {command: [sh, -c, 'yes endless | head -c 3000000; exit 4']}, periodSeconds: 1, failureThreshold: 1000}",
    ));
    wait_for_event(&podyard, "Unhealthy", "Readiness probe failed: left");
    wait_for_event(&podyard, "Unhealthy", "Liveness probe failed: endless");
    let longest = podyard
        .messages("p", "Unhealthy")
        .iter()
        .map(String::len)
        .max();
    assert!(
        longest.is_some_and(|longest| longest <= (10 << 10) + 100),
        "{longest:?}"
    );
    podyard.finish();
}

#[test]
fn a_command_that_is_not_there_is_an_error_and_no_failure() {
    let podyard = Instance::new();
    podyard.start_text(&busybox(
        "trap 'exit 0' TERM; while :; do sleep 0.1; done",
        "    livenessProbe: {exec: {command: [/no/such/program]}, periodSeconds: 1, failureThreshold: 1}",
    ));
    wait_for_event(
        &podyard,
        "Unhealthy",
        "Liveness probe errored and resulted in unknown state:",
    );
    assert!(podyard.messages("p", "Killing").is_empty());
    podyard.finish();
}

#[test]
fn a_failed_liveness_probe_replaces_the_container() {
    let podyard = Instance::new();
    podyard.start_text(&busybox(
        "trap 'exit 0' TERM; touch /tmp/h; while :; do sleep 0.1; done",
        "    livenessProbe: {exec: {command: [test, -e, /tmp/h]}, initialDelaySeconds: 1, periodSeconds: 1, failureThreshold: 1}
    readinessProbe: {exec: {command: [test, -e, /tmp/h]}, periodSeconds: 1}",
    ));
    podyard.wait_for_condition("p", "Ready");
    podyard.ok(&["exec", "p", "--", "rm", "/tmp/h"]);
    let pod = podyard.wait_for("p", "a restart", |pod| {
        container(pod, "c")["restartCount"] == 1
    });
    assert_eq!(
        container(&pod, "c")["lastState"]["terminated"]["exitCode"],
        0
    );
    let killing = podyard.messages("p", "Killing");
    assert!(
        killing
            .iter()
            .any(|text| text == "Container c failed liveness probe, will be restarted"),
        "{killing:?}"
    );
    podyard.wait_for_condition("p", "Ready");
    podyard.finish();
}
