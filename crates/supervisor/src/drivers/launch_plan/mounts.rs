//! What is mounted into a container: its volumes, and the files that the kubelet writes. A mount of the manifest replaces one of ours at the
//! same place.

use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use podyard_api::core::{Container, Volume, VolumeMount};
use podyard_linux::{Access, Mount, Propagation, SubPathError};
use rustix::fs::{Mode, OFlags};

use super::super::containers::NotStarted;
use super::super::notices::Notice;
use super::super::{World, volumes};
use super::devices;
use crate::pull::chain;
use crate::translate::{environment, expand, files, security};

/// All of them, parents before children. A VOLUME of the image needs nothing: its directory is in the writable layer, which is new for every
/// instance.
pub(super) fn of_container(
    world: &World,
    container: &Container,
    variables: &[(String, String)],
    data: &Path,
) -> Result<Vec<Mount>, NotStarted> {
    let mut wanted: Vec<Mount> = Vec::new();
    for mount in container.volume_mounts.iter().flatten() {
        wanted.push(volume_mount(world, container, variables, mount)?);
    }
    own_files(world, container, &mut wanted)?;
    termination_message(container, data, &mut wanted)?;
    wanted.sort_by_key(Mount::depth);
    Ok(wanted)
}

/// The kernel's file systems before the container's own mounts, of which each replaces one at the same place.
pub(super) fn with_defaults(
    world: &World,
    defaults: Vec<Mount>,
    wanted: Vec<Mount>,
    privileged: bool,
) -> Vec<Mount> {
    let host_ipc = world.spec().host_ipc == Some(true);
    let mut all: Vec<Mount> = defaults
        .into_iter()
        .filter(|mount| is_free(&wanted, &mount.destination))
        .map(|mount| match mount.destination.to_str() {
            Some("/dev/shm") if host_ipc => Mount::bind("/dev/shm", "/dev/shm"),
            Some("/sys" | "/sys/fs/cgroup") if privileged => Mount {
                access: Access::ReadWrite,
                ..mount
            },
            _ => mount,
        })
        .collect();
    // With users of its own a pod has no rights to them.
    if privileged && world.spec().host_users != Some(false) {
        let nodes = devices::below(Path::new("/dev")).into_iter();
        let nodes = nodes.filter(|node| is_free(&wanted, node));
        all.extend(nodes.map(|node| Mount::bind(node.clone(), node)));
    }
    all.extend(wanted);
    all
}

fn is_free(wanted: &[Mount], path: impl AsRef<Path>) -> bool {
    wanted
        .iter()
        .all(|mount| mount.destination != path.as_ref())
}

fn io(what: &'static str) -> impl Fn(std::io::Error) -> NotStarted {
    move |error| NotStarted::create(format!("cannot write {what}: {error}"))
}

/// The files that the kubelet writes: one of each for all containers of the pod.
const OWN_FILES: [(&str, &str); 3] = [
    ("/etc/hosts", "hosts"),
    ("/etc/hostname", "hostname"),
    ("/etc/resolv.conf", "resolv.conf"),
];

/// Mounts the pod's own files, where the container mounts nothing of its own. Each is written anew at every start; of a container that is made
/// before its time only then, if it is there already.
fn own_files(
    world: &World,
    container: &Container,
    wanted: &mut Vec<Mount>,
) -> Result<(), NotStarted> {
    let readonly = security::readonly_rootfs(container);
    let etc = world.dirs.data.join("etc");
    let are_there = || OWN_FILES.iter().all(|(_, name)| etc.join(name).exists());
    if !(world.is_withholding() && are_there()) {
        write_own_files(world, container)?;
    }
    for (destination, name) in OWN_FILES {
        if !is_replaced(container, destination) {
            let mount = Mount::bind(etc.join(name), destination);
            wanted.push(if readonly && name != "hosts" {
                mount.read_only()
            } else {
                mount
            });
        }
    }
    Ok(())
}

/// Whether a container mounts a volume of its own there.
fn is_replaced(container: &Container, place: &str) -> bool {
    let mut mounts = container.volume_mounts.iter().flatten();
    mounts.any(|mount| Path::new("/").join(&mount.mount_path) == Path::new(place))
}

/// Makes the pod's own files say what they should, for a container that starts.
pub(in super::super) fn write_own_files(
    world: &World,
    container: &Container,
) -> Result<(), NotStarted> {
    let texts = world.with_facts(|facts| -> Result<_, String> {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let mut resolv = read(files::RESOLV_CONF);
        let source = files::resolv_conf_source(&resolv);
        if source != files::RESOLV_CONF {
            resolv = read(source);
        }
        let resolver = files::resolv_conf(facts, &resolv);
        let texts = [
            files::hosts(facts, &read("/etc/hosts")),
            format!("{}\n", facts.hostname()?),
            resolver.text,
        ];
        Ok((texts, resolver.omissions))
    });
    let (texts, omissions) = texts.map_err(NotStarted::create)?;
    for omission in omissions {
        world.tell_once(Notice {
            reason: "DNSConfigForming",
            message: omission,
        });
    }
    let etc = world.dirs.data.join("etc");
    for ((place, name), text) in OWN_FILES.into_iter().zip(texts) {
        if !is_replaced(container, place) {
            write_in_place(&etc.join(name), &text).map_err(io("the pod's files"))?;
        }
    }
    Ok(())
}

/// In place and not renamed: running containers have this very file mounted. One that says this already is left alone: to empty
/// and refill it costs a file system on a disk milliseconds, for every container again.
fn write_in_place(path: &Path, text: &str) -> std::io::Result<()> {
    let is_written = || -> std::io::Result<bool> {
        // A container can have put anything of any size there.
        let mut known = vec![0; text.len() + 1];
        let length = std::fs::File::open(path)?.read(&mut known)?;
        Ok(&known[..length] == text.as_bytes())
    };
    match is_written() {
        Ok(true) => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        }
        _ => {}
    }
    std::fs::write(path, text)
}

fn termination_message(
    container: &Container,
    data: &Path,
    wanted: &mut Vec<Mount>,
) -> Result<(), NotStarted> {
    let place = container
        .termination_message_path
        .as_deref()
        .filter(|path| !path.is_empty())
        .unwrap_or("/dev/termination-log");
    if !is_free(wanted, place) {
        return Ok(());
    }
    let path = data.join("termination-log");
    std::fs::write(&path, "").map_err(io("the termination message file"))?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(&path, mode).map_err(io("the termination message file"))?;
    wanted.push(Mount::bind(path, place));
    Ok(())
}

fn volume_mount(
    world: &World,
    container: &Container,
    variables: &[(String, String)],
    mount: &VolumeMount,
) -> Result<Mount, NotStarted> {
    let mut all = world.spec().volumes.iter().flatten();
    let volume: &Volume = all
        .find(|volume| volume.name == mount.name)
        .ok_or_else(|| {
            NotStarted::config(format!(
                "cannot find volume {:?} to mount into container {:?}",
                mount.name, container.name
            ))
        })?;
    if volume.image.is_some() {
        volumes::image::mount(world, volume)?;
    }
    let source = volumes::host_path(world, volume);
    let destination = if mount.mount_path.starts_with('/') {
        mount.mount_path.clone()
    } else {
        format!("/{}", mount.mount_path)
    };
    let propagation = match mount.mount_propagation.as_deref() {
        Some("HostToContainer") => Propagation::Slave,
        Some("Bidirectional") => Propagation::Shared,
        _ => Propagation::Private,
    };
    if propagation != Propagation::Private {
        volumes::check_propagation(&source, propagation == Propagation::Shared)?;
    }
    let mut plan = match sub_path(mount, variables)? {
        None => Mount::bind(source, destination),
        Some(path) => {
            let opened = open_sub_path(&source, &path, mount, container)?;
            Mount::bind_fd(opened, destination)
        }
    };
    let read_only = mount.read_only == Some(true) || volumes::is_read_only(volume);
    plan.access = match (read_only, mount.recursive_read_only.as_deref()) {
        (false, _) => Access::ReadWrite,
        (true, Some("Enabled" | "IfPossible")) => Access::RecursiveReadOnly,
        (true, _) => Access::ReadOnly,
    };
    plan.propagation = propagation;
    Ok(plan)
}

/// The part of the volume that is mounted; `None` for all of it.
fn sub_path(
    mount: &VolumeMount,
    variables: &[(String, String)],
) -> Result<Option<String>, NotStarted> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let path = match given(&mount.sub_path_expr) {
        None => given(&mount.sub_path),
        Some(text) => {
            // Unlike elsewhere, a variable that is unknown or empty has no place here.
            let value =
                |name: &str| environment::find(variables, name).filter(|value| !value.is_empty());
            let expanded = expand::expand_known(&text, value).map_err(|mut missing| {
                missing.sort();
                missing.dedup();
                NotStarted::config(format!("missing value for {}", missing.join(", ")))
            })?;
            Some(expanded).filter(|path| !path.is_empty())
        }
    };
    let Some(path) = path else { return Ok(None) };
    if path.starts_with('/') {
        let message = format!("error SubPath `{path}` must not be an absolute path");
        return Err(NotStarted::config(message));
    }
    if Path::new(&path)
        .components()
        .eq([std::path::Component::CurDir])
    {
        return Ok(None);
    }
    if path.split('/').any(|name| name == "..") {
        let message = format!("unable to provision SubPath `{path}`: must not contain '..'");
        return Err(NotStarted::config(message));
    }
    Ok(Some(path))
}

fn open_sub_path(
    volume: &Path,
    path: &str,
    mount: &VolumeMount,
    container: &Container,
) -> Result<OwnedFd, NotStarted> {
    let failed = |what: &str, reason: &str| {
        NotStarted::config(format!(
            "failed to {what} for volumeMount {:?} of container {:?}: {reason}",
            mount.name, container.name
        ))
    };
    let root = rustix::fs::open(volume, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| failed("prepare subPath", &std::io::Error::from(errno).to_string()))?;
    podyard_linux::open_sub_path(root.as_fd(), Path::new(path)).map_err(|error| {
        let what = match error {
            SubPathError::Create { .. } => "create subPath directory",
            _ => "prepare subPath",
        };
        failed(what, &chain(&error))
    })
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_file_is_only_written_when_it_says_something_else() {
        let path = std::env::temp_dir().join(format!("podyard-in-place-{}", std::process::id()));
        let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1000);
        std::fs::write(&path, "one").expect("temporary file");
        let is_old_after = |text: &str| {
            let file = File::options().write(true).open(&path).expect("own file");
            file.set_modified(long_ago).expect("own file");
            write_in_place(&path, text).expect("own file");
            assert_eq!(std::fs::read_to_string(&path).expect("own file"), text);
            file.metadata().and_then(|m| m.modified()).expect("time") == long_ago
        };
        assert!(is_old_after("one"));
        // What is there is a part of what is wanted, and the other way round.
        assert!(!is_old_after("one and more"));
        assert!(!is_old_after("one"));
        std::fs::remove_file(&path).expect("own file");
    }

    #[test]
    fn parts_of_volumes() {
        let check = |sub_path: &str, expression: &str, expected: Result<Option<&str>, &str>| {
            let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            let mount = VolumeMount {
                sub_path: text(sub_path),
                sub_path_expr: text(expression),
                ..VolumeMount::default()
            };
            let variables = [
                ("POD".to_owned(), "web".to_owned()),
                ("EMPTY".to_owned(), String::new()),
                ("UP".to_owned(), "..".to_owned()),
                ("ROOT".to_owned(), "/etc".to_owned()),
            ];
            let found = super::sub_path(&mount, &variables).map_err(|error| error.message);
            let expected = expected
                .map(|path| path.map(str::to_owned))
                .map_err(str::to_owned);
            assert_eq!(found, expected, "{sub_path} {expression}");
        };
        check("", "", Ok(None));
        check("a/b", "", Ok(Some("a/b")));
        check(".", "", Ok(None));
        check("././", "", Ok(None));
        check("$(POD)", "", Ok(Some("$(POD)")));
        check("", "logs/$(POD)", Ok(Some("logs/web")));
        check("", "$$(POD)", Ok(Some("$(POD)")));
        check(
            "",
            "$(B)$(EMPTY)$(A)$(B)",
            Err("missing value for A, B, EMPTY"),
        );
        check(
            "",
            "a/$(UP)",
            Err("unable to provision SubPath `a/..`: must not contain '..'"),
        );
        check(
            "",
            "$(ROOT)/x",
            Err("error SubPath `/etc/x` must not be an absolute path"),
        );
    }
}
