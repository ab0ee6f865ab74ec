//! The pull role: `podyard internal pull`, a short-lived process that fetches one image and says on its standard output how it went. On its
//! standard input it finds the credentials that the pod brings along; command lines and environments can be seen by others.
//!
//! A pull takes long, needs threads and talks to strangers: none of that belongs into the process that keeps a pod's promises.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use podyard_image::{Credentials, PullError, PullOptions, Reference, Store};
use serde::{Deserialize, Serialize};

/// What the pull process says at its end, as one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PullAnswer {
    /// The image is in the store.
    Done {
        /// Bytes of the image.
        bytes: u64,
    },
    /// It is not.
    Failed {
        /// Text for the status, with its causes.
        message: String,
    },
}

/// Arguments: the image store and the reference.
pub(crate) fn arguments(images: &Path, reference: &str) -> Vec<std::ffi::OsString> {
    vec![
        "internal".into(),
        "pull".into(),
        images.into(),
        reference.into(),
    ]
}

/// What the process is to read. A file and no pipe: the supervisor cannot wait for a reader.
pub(crate) fn input(credentials: &[Credentials]) -> std::io::Result<Stdio> {
    if credentials.is_empty() {
        return Ok(Stdio::null());
    }
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::memfd_create("credentials", flags)?);
    file.write_all(&serde_json::to_vec(credentials)?)?;
    file.rewind()?;
    Ok(file.into())
}

/// Runs the role: pulls, answers, returns the exit code.
pub fn run(mut arguments: impl Iterator<Item = std::ffi::OsString>) -> u8 {
    let (Some(images), Some(reference)) = (arguments.next(), arguments.next()) else {
        return 2;
    };
    let answer = match pull(&PathBuf::from(images), &reference.to_string_lossy()) {
        Ok(bytes) => PullAnswer::Done { bytes },
        Err(message) => PullAnswer::Failed { message },
    };
    let code = u8::from(matches!(answer, PullAnswer::Failed { .. }));
    let written = serde_json::to_string(&answer).map(|line| writeln!(std::io::stdout(), "{line}"));
    if matches!(written, Ok(Ok(()))) {
        code
    } else {
        1
    }
}

fn pull(images: &Path, reference: &str) -> Result<u64, String> {
    let reference = Reference::parse(reference).map_err(|error| chain(&error))?;
    let store = Store::open(images).map_err(|error| chain(&error))?;
    let mut credentials = given().map_err(|error| format!("cannot read credentials: {error}"))?;
    credentials.extend(own_credentials(&reference));
    let options = PullOptions {
        credentials,
        ..PullOptions::default()
    };
    let pulled = store
        .pull(&reference, &options, &mut |_| {})
        .map_err(|error: PullError| chain(&error))?;
    Ok(pulled.image.size_bytes)
}

/// What [`input`] has put there.
fn given() -> std::io::Result<Vec<Credentials>> {
    let mut text = Vec::new();
    std::io::stdin().read_to_end(&mut text)?;
    if text.is_empty() {
        return Ok(Vec::new());
    }
    Ok(serde_json::from_slice(&text)?)
}

/// What the account that runs the pod has logged in with, where the usual tools keep it; the first file that has something counts.
fn own_credentials(reference: &Reference) -> Vec<Credentials> {
    let in_directory = |variable: &str, rest: &str| {
        std::env::var_os(variable).map(|dir| PathBuf::from(dir).join(rest))
    };
    [
        in_directory("XDG_RUNTIME_DIR", "containers/auth.json"),
        in_directory("HOME", ".docker/config.json"),
    ]
    .into_iter()
    .flatten()
    .filter_map(|path| podyard_image::AuthFile::read(&path).ok())
    .filter_map(|file| file.credentials_for(reference).ok())
    .find(|credentials| !credentials.is_empty())
    .unwrap_or_default()
}

/// An error and its causes in one line, outermost first.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
