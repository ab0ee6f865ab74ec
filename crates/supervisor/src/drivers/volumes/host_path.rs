//! `hostPath`: something of the machine, looked at before it is given to a container (`pod-api.md` section 5.4).

use std::fs::{self, FileType, Permissions};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;

use podyard_api::core::HostPathVolumeSource;

/// Makes what its type allows to make, and checks that it is what its type says. Links are followed: the path is the manifest's own wish.
pub(super) fn check(source: &HostPathVolumeSource) -> Result<(), String> {
    let path = Path::new(&source.path);
    let failed = |error: std::io::Error| format!("hostPath {}: {error}", path.display());
    match source.type_.as_deref().unwrap_or_default() {
        // No check; container runtimes make a missing source as a directory.
        "" => {
            if fs::metadata(path).is_err() {
                make_directories(path).map_err(failed)?;
            }
            Ok(())
        }
        "DirectoryOrCreate" => {
            if !exists(path) {
                make_directories(path).map_err(failed)?;
            }
            expect(path, FileType::is_dir, "a directory")
        }
        "Directory" => expect(path, FileType::is_dir, "a directory"),
        "FileOrCreate" => {
            if !exists(path) {
                make_file(path).map_err(failed)?;
            }
            expect(path, FileType::is_file, "a file")
        }
        "File" => expect(path, FileType::is_file, "a file"),
        "Socket" => expect(path, FileType::is_socket, "a socket file"),
        "CharDevice" => expect(path, FileType::is_char_device, "a character device"),
        "BlockDevice" => expect(path, FileType::is_block_device, "a block device"),
        other => Err(format!("{other} is an invalid volume type")),
    }
}

fn exists(path: &Path) -> bool {
    fs::metadata(path).is_ok()
}

/// What is not there is not of the type either, and the kubelet says no more about it.
fn expect(path: &Path, is_it: impl Fn(&FileType) -> bool, what: &str) -> Result<(), String> {
    match fs::metadata(path) {
        Ok(found) if is_it(&found.file_type()) => Ok(()),
        _ => Err(format!(
            "hostPath type check failed: {} is not {what}",
            path.display()
        )),
    }
}

/// Each new directory 0755, whatever the umask is.
fn make_directories(path: &Path) -> std::io::Result<()> {
    let missing: Vec<&Path> = path
        .ancestors()
        .take_while(|ancestor| !exists(ancestor))
        .collect();
    fs::create_dir_all(path)?;
    for made in missing
        .into_iter()
        .filter(|made| !made.as_os_str().is_empty())
    {
        fs::set_permissions(made, Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// Empty, 0644; its parents must be there.
fn make_file(path: &Path) -> std::io::Result<()> {
    let file = fs::File::options()
        .write(true)
        .create_new(true)
        .open(path)?;
    file.set_permissions(Permissions::from_mode(0o644))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn every_type_against_every_kind() {
        let dir = std::env::temp_dir().join(format!("podyard-host-path-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("directory")).expect("temporary directory");
        fs::write(dir.join("file"), "").expect("file");
        symlink("directory", dir.join("link")).expect("link");
        let _socket = UnixListener::bind(dir.join("socket")).expect("socket");
        let check = |kind: &str, path: &str| {
            super::check(&HostPathVolumeSource {
                path: path.to_owned(),
                type_: Some(kind.to_owned()),
            })
        };
        let own = |name: &str| dir.join(name).to_str().expect("UTF-8").to_owned();
        let check_type = |what: &str, path: &str| {
            Err(format!("hostPath type check failed: {path} is not {what}"))
        };

        for (kind, name) in [
            ("", "directory"),
            ("", "file"),
            ("Directory", "directory"),
            ("Directory", "link"),
            ("DirectoryOrCreate", "directory"),
            ("DirectoryOrCreate", "made/by/it"),
            ("", "made/too"),
            ("File", "file"),
            ("FileOrCreate", "file"),
            ("FileOrCreate", "made/file"),
            ("Socket", "socket"),
        ] {
            assert_eq!(check(kind, &own(name)), Ok(()), "{kind} {name}");
        }
        assert_eq!(check("CharDevice", "/dev/null"), Ok(()));
        let mode = |name: &str| {
            let found = fs::metadata(dir.join(name)).expect("it was made");
            (found.is_dir(), found.permissions().mode() & 0o7777)
        };
        assert_eq!(mode("made/by"), (true, 0o755));
        assert_eq!(mode("made/by/it"), (true, 0o755));
        assert_eq!(mode("made/too"), (true, 0o755));
        assert_eq!(mode("made/file"), (false, 0o644));

        for (kind, name, what) in [
            ("Directory", "file", "a directory"),
            ("Directory", "missing", "a directory"),
            ("DirectoryOrCreate", "file", "a directory"),
            ("File", "directory", "a file"),
            ("File", "missing", "a file"),
            ("FileOrCreate", "directory", "a file"),
            ("Socket", "file", "a socket file"),
            ("CharDevice", "file", "a character device"),
            ("BlockDevice", "file", "a block device"),
        ] {
            let path = own(name);
            assert_eq!(check(kind, &path), check_type(what, &path), "{kind} {name}");
        }
        // Parents of files are not made.
        let without_parent = check("FileOrCreate", &own("missing/file"));
        assert!(without_parent.is_err_and(|text| text.contains("No such file or directory")));
        fs::remove_dir_all(&dir).expect("own directory");
    }
}
