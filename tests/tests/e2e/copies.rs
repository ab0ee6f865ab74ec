//! `podyard cp`: files into a container and out of it, without any tool of its image.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use podyard_e2e::manifest::{HANG, pod, sh, with, with_spec};
use podyard_e2e::{Instance, assert_says};
use serde_json::{Value, json};

fn running(app: &Value) -> Instance {
    let podyard = Instance::new();
    podyard.start(&pod("p", "Always", &[], std::slice::from_ref(app)));
    podyard.wait_for_condition("p", "Ready");
    podyard
}

fn script(podyard: &Instance, script: &str) -> String {
    podyard.ok(&["exec", "p", "--", "sh", "-c", script])
}

fn path(directory: &Path, name: &str) -> String {
    directory.join(name).to_str().expect("UTF-8").to_owned()
}

#[test]
fn trees_go_in_and_come_out() {
    let podyard = running(&with(sh("app", HANG), json!({"workingDir": "/tmp"})));
    let here = podyard.root().join("here");
    fs::create_dir_all(here.join("tree/sub")).expect("directories");
    fs::write(here.join("tree/run"), "#!/bin/sh\necho it runs\n").expect("a file");
    fs::set_permissions(here.join("tree/run"), fs::Permissions::from_mode(0o755)).expect("mode");
    fs::write(here.join("tree/sub/data"), vec![7; 3 << 20]).expect("a file");
    symlink("run", here.join("tree/link")).expect("a link");

    let tree = path(&here, "tree");
    podyard.ok(&["cp", &tree, "p:/d/new"]);
    podyard.ok(&["cp", &tree, "default/p:/d"]);
    // Relative to the working directory; over what is there.
    podyard.ok(&["cp", &path(&here, "tree/run"), "p:run"]);
    podyard.ok(&["cp", &path(&here, "tree/run"), "p:run"]);
    assert_eq!(
        script(
            &podyard,
            "/d/new/run; /d/tree/link; /tmp/run; wc -c < /d/new/sub/data; ls /d/tree /tmp"
        ),
        "it runs\nit runs\nit runs\n3145728\n/d/tree:\nlink\nrun\nsub\n\n/tmp:\nrun\n"
    );

    script(&podyard, "mkfifo /d/new/fifo");
    let output = podyard.run(&["cp", "p:/d/new", &path(&here, "back")]);
    assert_says(
        &output,
        0,
        &[
            "warning: `/d/new/fifo` is a FIFO, and left out",
            "warning: `/d/new/link` is a symbolic link, and left out",
        ],
    );
    let back = here.join("back");
    assert_eq!(
        fs::read(back.join("sub/data")).expect("a file").len(),
        3 << 20
    );
    let mode = back.join("run").metadata().expect("a file").mode();
    assert_eq!(mode & 0o777, 0o755);
    assert!(!back.join("link").exists() && !back.join("fifo").exists());
    // A file comes into a directory that is there; of a directory, what is in it.
    podyard.ok(&["cp", "p:/tmp/run", &path(&here, "back/sub")]);
    assert!(back.join("sub/run").exists());
    podyard.ok(&["cp", "p:/d/new/sub", &path(&here, "back")]);
    assert!(back.join("data").exists());
    podyard.finish();
}

#[test]
fn what_goes_in_belongs_to_the_containers_user() {
    let app = with(
        sh("app", HANG),
        json!({"securityContext": {"runAsUser": 1000, "runAsGroup": 1001}}),
    );
    let podyard = running(&app);
    let file = podyard.manifest("file", "text");
    podyard.ok(&["cp", &file, "p:/d/file"]);
    assert_eq!(
        script(&podyard, "stat -c %u:%g /d/file; cat /d/file"),
        "1000:1001\ntext"
    );
    podyard.finish();

    let podyard = running(&sh("app", HANG));
    let file = podyard.manifest("file", "text");
    std::os::unix::fs::chown(&file, Some(7), Some(8)).expect("ours to give");
    podyard.ok(&["cp", &file, "p:/d/kept"]);
    podyard.ok(&["cp", "--no-preserve", &file, "p:/d/given"]);
    assert_eq!(
        script(&podyard, "stat -c %u:%g /d/kept /d/given"),
        "7:8\n0:0\n"
    );
    podyard.finish();
}

/// What was published as escapes of `kubectl cp`, and of other copies by path: links in the container that lead out of it, or out of the
/// directory that is copied to.
#[test]
fn nothing_leads_out() {
    let podyard = running(&sh("app", HANG));
    let outside = podyard.root().join("outside");
    fs::create_dir(&outside).expect("a directory");
    fs::write(outside.join("secret"), "of the machine").expect("a file");
    let outside_path = outside.to_str().expect("UTF-8");

    // The same path in the container: what it finds is the container's, or nothing.
    script(
        &podyard,
        &format!("ln -s {outside_path} /d/out; ln -s ../../../../../../../..{outside_path} /d/up"),
    );
    for link in ["out", "up"] {
        let into = path(podyard.root(), link);
        assert_says(
            &podyard.run(&["cp", &format!("p:/d/{link}/secret"), &into]),
            3,
            &["there is no `/d/", "in the container"],
        );
        let file = podyard.manifest("file", "text");
        assert_says(
            &podyard.run(&["cp", &file, &format!("p:/d/{link}/new")]),
            3,
            &["in the container"],
        );
    }
    assert!(!outside.join("new").exists());

    // Links on this machine that an earlier copy, or somebody else, has left where files come to.
    script(
        &podyard,
        "mkdir -p /d/tree/sub; echo evil > /d/tree/sub/secret; echo evil > /d/tree/secret",
    );
    let into = podyard.root().join("into");
    fs::create_dir(&into).expect("a directory");
    symlink(&outside, into.join("sub")).expect("a link");
    symlink(outside.join("secret"), into.join("secret")).expect("a link");
    let into_path = into.to_str().expect("UTF-8");
    assert_says(
        &podyard.run(&["cp", "p:/d/tree", into_path]),
        1,
        &["cannot copy everything out of the container", "/d/tree/sub"],
    );
    assert_eq!(
        fs::read_to_string(outside.join("secret")).expect("a file"),
        "of the machine"
    );
    // The link was replaced, and not followed.
    assert_eq!(
        fs::read_to_string(into.join("secret")).expect("a file"),
        "evil\n"
    );

    // Likewise in the container: what is there is replaced, whatever it is.
    script(
        &podyard,
        "echo kept > /d/target; ln -s /d/target /d/link; mkfifo /d/fifo",
    );
    let file = podyard.manifest("file", "text");
    podyard.ok(&["cp", &file, "p:/d/link"]);
    podyard.ok(&["cp", &file, "p:/d/fifo"]);
    assert_eq!(
        script(&podyard, "cat /d/target /d/link /d/fifo"),
        "kept\ntexttext"
    );
    // Names that a terminal would obey.
    script(&podyard, r#"mkfifo "$(printf '/d/tree/sub/a\033[2J')""#);
    let output = podyard.run(&["cp", "p:/d/tree/sub", &path(podyard.root(), "names")]);
    assert_says(&output, 0, &["is a FIFO, and left out"]);
    assert!(!output.stderr.contains(&0x1b), "{output:?}");
    podyard.finish();
}

#[test]
fn what_cannot_be_copied_is_said() {
    let podyard = running(&sh("app", HANG));
    let file = podyard.manifest("file", "text");
    for (arguments, code, expected) in [
        (
            vec!["cp", &file, "x"],
            2,
            "one of the two has to be in a pod",
        ),
        (
            vec!["cp", "p:/a", "p:/b"],
            2,
            "one of the two has to be in a pod",
        ),
        (
            vec!["cp", "p:/none", "x"],
            3,
            "there is no `/none` in the container",
        ),
        (
            vec!["cp", &file, "p:/none/"],
            3,
            "there is no directory `/none/`",
        ),
        (vec!["cp", "/none", "p:/d"], 3, "cannot read `/none`"),
        (vec!["cp", "q:/a", "x"], 3, "pod `q` not found"),
        (
            vec!["cp", "p:/a", "x", "-c", "no"],
            3,
            "has no container `no`",
        ),
    ] {
        assert_says(&podyard.run(&arguments), code, &[expected]);
    }
    let own_users = with_spec(
        pod("own", "Always", &[], &[sh("app", HANG)]),
        json!({"hostUsers": false}),
    );
    podyard.start(&own_users);
    podyard.wait_for_condition("own", "Ready");
    assert_says(
        &podyard.run(&["cp", &file, "own:/d"]),
        1,
        &["nothing can be copied into a pod with `hostUsers: false`"],
    );
    podyard.ok(&["cp", "own:/etc/passwd", &path(podyard.root(), "passwd")]);
    podyard.start(&pod("over", "Never", &[], &[sh("app", "true")]));
    podyard.wait_for_phase("over", "Succeeded");
    assert_says(
        &podyard.run(&["cp", "over:/etc/passwd", "x"]),
        1,
        &["container `app` of pod `over` does not run"],
    );
    podyard.finish();
}
