//! The pull role: `podyard internal pull`, a short-lived process that fetches one image and says on its standard output how it went.
//!
//! A pull takes long, needs threads and talks to strangers: none of that belongs into the process that keeps a pod's promises.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use podyard_image::{PullError, PullOptions, Reference, Store};
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
    let options = PullOptions {
        credentials: credentials(&reference),
        ..PullOptions::default()
    };
    let pulled = store
        .pull(&reference, &options, &mut |_| {})
        .map_err(|error: PullError| chain(&error))?;
    Ok(pulled.image.size_bytes)
}

/// What the account that runs the pod has logged in with, where the usual tools keep it; the first file that has something counts.
fn credentials(reference: &Reference) -> Vec<podyard_image::Credentials> {
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
