//! Every file in `examples/` runs, and does what its comment says.

use podyard_e2e::{Instance, container, fetch, repository};

fn example(name: &str) -> String {
    repository()
        .join("examples")
        .join(name)
        .to_str()
        .expect("UTF-8")
        .to_owned()
}

/// A test that is forgotten when an example is added would be worse than none.
#[test]
fn every_example_has_a_test() {
    let own = include_str!("examples.rs");
    for entry in std::fs::read_dir(repository().join("examples"))
        .expect("examples")
        .flatten()
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(
            own.contains(&format!("\"{name}\"")),
            "{name} is run by no test"
        );
    }
}

#[test]
fn init_config_runs_as_it_stands() {
    let podyard = Instance::new();
    podyard.ok(&["run", "-d", &example("init-config.yaml")]);
    let pod = podyard.wait_for_condition("my-app-pod", "Ready");
    let init = container(&pod, "config-generator");
    assert_eq!(init["state"]["terminated"]["reason"], "Completed");
    assert_eq!(init["ready"], true);
    assert_eq!(init["started"], false);
    assert_eq!(pod["status"]["phase"], "Running");
    let address = format!(
        "{}:80",
        pod["status"]["podIP"].as_str().expect("an address")
    );
    assert!(fetch(&address, "/").contains("Welcome to nginx!"));
    podyard.finish();
}

#[test]
fn init_config_served_uses_the_generated_configuration() {
    let podyard = Instance::new();
    podyard.ok(&["run", "-d", &example("init-config-served.yaml")]);
    podyard.wait_for_condition("init-config-served", "Ready");
    assert_eq!(
        fetch("127.0.0.1:8080", "/"),
        "configured by the init container config-generator\n"
    );
    podyard.finish();
}

#[test]
fn chain_runs_in_its_fixed_order() {
    let podyard = Instance::new();
    podyard.ok(&["run", "-d", &example("chain.yaml")]);
    let pod = podyard.wait_for("chain", "the chain's end", |pod| {
        matches!(
            pod["status"]["phase"].as_str(),
            Some("Running" | "Succeeded")
        )
    });
    let inits = pod["status"]["initContainerStatuses"]
        .as_array()
        .expect("statuses")
        .clone();
    assert_eq!(inits.len(), 3);
    assert!(
        inits
            .iter()
            .all(|status| status["state"]["terminated"]["exitCode"] == 0),
        "{inits:?}"
    );
    podyard.finish();
}

#[test]
fn fetch_config_gets_its_configuration_over_http() {
    let podyard = Instance::new();
    podyard.ok(&["run", "-d", &example("config-server.yaml")]);
    podyard.wait_for_condition("config-server", "Ready");
    podyard.ok(&["run", "-d", &example("fetch-config.yaml")]);
    let pod = podyard.wait_for("fetch-config", "the fetched configuration", |pod| {
        matches!(
            pod["status"]["phase"].as_str(),
            Some("Running" | "Succeeded")
        )
    });
    let init = pod["status"]["initContainerStatuses"][0].clone();
    assert_eq!(init["state"]["terminated"]["exitCode"], 0, "{init}");
    podyard.finish();
}

#[test]
fn tls_certificate_is_served_by_nginx() {
    let podyard = Instance::new();
    podyard.ok(&["run", "-d", &example("tls-certificate.yaml")]);
    let pod = podyard.wait_for_condition("tls-certificate", "Ready");
    let container = pod["spec"]["containers"][0]["name"]
        .as_str()
        .expect("a name");
    let served = podyard.ok(&[
        "exec",
        "tls-certificate",
        "-c",
        container,
        "--",
        "sh",
        "-c",
        "ls /proc/1/exe && cat /etc/nginx/tls/*.crt || cat /tls/*.crt",
    ]);
    assert!(served.contains("BEGIN CERTIFICATE"), "{served}");
    let address = format!(
        "{}:443",
        pod["status"]["podIP"].as_str().expect("an address")
    );
    // A TLS server answers a plain request with an error of its own, which shows who is listening.
    assert!(fetch(&address, "/").contains("HTTPS port"));
    podyard.finish();
}

#[test]
fn database_migration_seeds_rows_that_the_app_serves() {
    let podyard = Instance::new();
    podyard.ok(&["run", "-d", &example("database-migration.yaml")]);
    let pod = podyard.wait_for_condition("database-migration", "Ready");
    let inits = pod["status"]["initContainerStatuses"]
        .as_array()
        .expect("statuses")
        .clone();
    assert!(
        inits
            .iter()
            .all(|status| status["state"]["terminated"]["exitCode"] == 0),
        "{inits:?}"
    );
    podyard.finish();
}

#[test]
fn wait_for_service_starts_the_app_after_the_service_answers() {
    let podyard = Instance::new();
    podyard.ok(&["run", "-d", &example("wait-for-service.yaml")]);
    podyard.wait_for("wait-for-service", "the wait", |pod| {
        !pod["status"]["initContainerStatuses"][0]["state"]["running"].is_null()
    });
    podyard.ok(&["run", "-d", &example("config-server.yaml")]);
    podyard.wait_for_condition("wait-for-service", "Ready");
    podyard.finish();
}

#[test]
fn sidecar_runs_beside_the_app() {
    let podyard = Instance::new();
    podyard.ok(&["run", "-d", &example("sidecar.yaml")]);
    podyard.wait_for("sidecar", "the sidecar and the app", |pod| {
        matches!(
            pod["status"]["phase"].as_str(),
            Some("Running" | "Succeeded")
        )
    });
    podyard.finish();
}

#[test]
fn restart_pod_repeats_all_init_containers() {
    let podyard = Instance::new();
    podyard.ok(&[
        "run",
        "-d",
        "--backoff",
        "0.01",
        &example("restart-pod.yaml"),
    ]);
    let pod = podyard.wait_for("restart-pod", "the rounds", |pod| {
        matches!(
            pod["status"]["phase"].as_str(),
            Some("Running" | "Succeeded")
        )
    });
    let first = pod["status"]["initContainerStatuses"][0]["restartCount"]
        .as_i64()
        .expect("a count");
    assert!(first >= 1, "the first init container ran again: {pod}");
    podyard.finish();
}
