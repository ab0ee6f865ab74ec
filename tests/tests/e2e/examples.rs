//! Every file in `examples/` runs, and does what its comment says.

use std::process::Command;

use podyard_e2e::{Instance, container, eventually, fetch, repository};

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
    let output = podyard.run(&["run", &example("chain.yaml")]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "[app]    1 first\n[app]    2 second\n[app]    3 third\n[app]    4 app\n"
    );
    // Each ended before the next one began, by the times of the processes themselves and not only by what they wrote.
    let spans = podyard.spans("chain");
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["first", "second", "third", "app"]);
    for pair in spans.windows(2) {
        assert!(pair[0].ended_at() <= pair[1].started_at(), "{pair:?}");
    }
    podyard.finish();
}

#[test]
fn fetch_config_gets_its_configuration_over_http() {
    let podyard = Instance::new();
    // In this order, so that the init container has to wait for the other pod.
    podyard.ok(&["run", "-d", &example("fetch-config.yaml")]);
    podyard.wait_for("fetch-config", "the first attempt", |pod| {
        !pod["status"]["initContainerStatuses"][0]["state"]["running"].is_null()
    });
    podyard.ok(&["run", "-d", &example("config-server.yaml")]);
    podyard.wait_for_condition("fetch-config", "Ready");
    assert_eq!(
        fetch("127.0.0.1:8082", "/config/app.yaml"),
        "greeting: fetched over HTTP by an init container\n"
    );
    podyard.finish();
}

#[test]
fn tls_certificate_is_served_by_nginx() {
    let podyard = Instance::new();
    podyard.ok(&["run", "-d", &example("tls-certificate.yaml")]);
    let pod = podyard.wait_for_condition("tls-certificate", "Ready");
    let certificate = podyard.logs("tls-certificate", "certificate");
    assert!(
        certificate.contains("CN = tls-certificate") || certificate.contains("CN=tls-certificate"),
        "{certificate}"
    );
    for address in [
        "127.0.0.1:8443".to_owned(),
        format!("{}:443", pod["status"]["podIP"].as_str().expect("address")),
    ] {
        // --write-out: what was verified against is the certificate's subject, which only the init container knew.
        let output = Command::new("curl")
            .args([
                "--silent",
                "--insecure",
                "--retry",
                "20",
                "--retry-connrefused",
                "--retry-delay",
                "1",
            ])
            .args(["--verbose", &format!("https://{address}/")])
            .output()
            .expect("curl");
        let (body, talk) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(body.starts_with("served over TLSv1."), "{body}\n{talk}");
        let subject = talk
            .lines()
            .find(|line| line.contains("subject:"))
            .unwrap_or_else(|| panic!("curl shows a subject: {talk}"));
        assert!(
            subject.contains("O=podyard example") && subject.contains("CN=tls-certificate"),
            "{subject}"
        );
    }
    // The key is in memory only, and only its owner may read it.
    let key = podyard.ok(&[
        "exec",
        "tls-certificate",
        "--",
        "stat",
        "-c",
        "%a",
        "/tls/tls.key",
    ]);
    assert_eq!(key, "600\n");
    let mounts = podyard.ok(&["exec", "tls-certificate", "--", "cat", "/proc/self/mounts"]);
    assert!(
        mounts
            .lines()
            .any(|line| line.starts_with("tmpfs /tls tmpfs ro,")),
        "{mounts}"
    );
    podyard.finish();
}

#[test]
fn database_migration_seeds_rows_that_the_app_serves() {
    let podyard = Instance::new();
    podyard.ok(&["run", "-d", &example("database-migration.yaml")]);
    podyard.wait_for_condition("database-migration", "Ready");
    let migrated = podyard.logs("database-migration", "migrate");
    assert!(
        migrated.contains("\n3 products, schema version 1\n"),
        "{migrated}"
    );
    // Over the network of the machine, once the server listens.
    let query = "SELECT id, name, price FROM products ORDER BY id";
    let rows = eventually("the database answers", || {
        let output = Command::new("psql")
            .args(["--host=127.0.0.1", "--port=15432", "--username=postgres"])
            .args(["--dbname=shop", "--no-psqlrc", "--csv", "--tuples-only"])
            .args(["--command", query])
            .output()
            .expect("psql");
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    });
    assert_eq!(rows, "1,kettle,24.50\n2,teapot,31.00\n3,cup,4.75\n");
    // And inside the container, as the example's comment has it.
    let table = podyard.ok(&[
        "exec",
        "database-migration",
        "--",
        "psql",
        "-h",
        "127.0.0.1",
        "-U",
        "postgres",
        "-d",
        "shop",
        "-c",
        "TABLE products",
    ]);
    assert!(table.contains("(3 rows)"), "{table}");
    podyard.finish();
}

#[test]
fn wait_for_service_starts_the_app_after_the_service_answers() {
    let podyard = Instance::new();
    podyard.ok(&["run", "-d", &example("wait-for-service.yaml")]);
    let pod = podyard.wait_for_condition("wait-for-service", "Ready");
    assert_eq!(
        podyard.logs("wait-for-service", "wait"),
        "http://127.0.0.1:9000 answers\n"
    );
    // The app asked the service itself before it served.
    podyard.wait_for_log("wait-for-service", "app", "ready\n");
    assert!(fetch("127.0.0.1:8083", "/").contains("Welcome to nginx!"));
    assert!(container(&pod, "service")["state"]["running"].is_object());
    assert_eq!(container(&pod, "wait")["restartCount"], 0);
    podyard.finish();
}

#[test]
fn sidecar_runs_beside_the_app() {
    let podyard = Instance::new();
    let output = podyard.run(&["run", &example("sidecar.yaml")]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let pod = podyard.pod("sidecar");
    assert_eq!(pod["status"]["phase"], "Succeeded");
    assert_eq!(
        podyard.logs("sidecar", "log-shipper"),
        "log-shipper: running\nmigrate: done\napp: step 1\napp: step 2\napp: step 3\n\
         log-shipper: stopped after the application\n"
    );
    assert_eq!(container(&pod, "log-shipper")["restartCount"], 0);
    podyard.finish();
}

#[test]
fn restart_pod_repeats_all_init_containers() {
    let podyard = Instance::new();
    let output = podyard.run(&["run", "--backoff", "0.01", &example("restart-pod.yaml")]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let pod = podyard.pod("restart-pod");
    for (name, restarts) in [("first", 1), ("second", 1), ("app", 0)] {
        assert_eq!(container(&pod, name)["restartCount"], restarts, "{name}");
    }
    // The volume was kept: the second run of `first` found the line of the first one.
    assert_eq!(podyard.logs("restart-pod", "first"), "2\n");
    assert_eq!(
        podyard.logs("restart-pod", "app"),
        "app: init ran in 2 rounds\n"
    );
    podyard.finish();
}

#[test]
fn a_job_does_every_piece_of_work_once() {
    let podyard = Instance::new();
    let output = podyard.run(&["run", &example("job.yaml")]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let mut said: Vec<&str> = stdout
        .lines()
        .filter_map(|line| Some(line.split_once("] ")?.1.trim_start()))
        .collect();
    said.sort_unstable();
    assert_eq!(said, ["1 squared is 1", "2 squared is 4", "3 squared is 9"]);
    podyard.finish();
}

#[test]
fn a_stateful_set_finds_its_volumes_again() {
    let podyard = Instance::new();
    let path = example("statefulset.yaml");
    for _ in 0..2 {
        podyard.ok(&["run", "-d", &path]);
        for name in ["notes-0", "notes-1"] {
            let log = podyard.wait_for_log(name, "app", "\n");
            assert_eq!(log, format!("the volume of {name}\n"));
        }
        podyard.ok(&["delete", "-f", &path]);
    }
    assert_eq!(
        podyard.ok(&["get", "pvc", "-o", "name"]),
        "persistentvolumeclaim/data-notes-0\npersistentvolumeclaim/data-notes-1\n"
    );
    podyard.finish();
}
