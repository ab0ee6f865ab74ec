//! `version`: podyard's own, and that of the Kubernetes whose rules it follows.

use crate::error::CliError;
use crate::exit_code::ExitCode;
use crate::settings::Format;

/// The Kubernetes whose fields, defaults, messages and order are implemented.
const KUBERNETES: &str = "v1.36";

pub(super) fn run(format: Option<Format>) -> Result<ExitCode, CliError> {
    let version = env!("CARGO_PKG_VERSION");
    match format {
        Some(format) => super::print_object(
            &serde_json::json!({ "podyard": version, "kubernetes": KUBERNETES }),
            format,
        )?,
        None => super::print(format!("podyard {version}\nKubernetes {KUBERNETES}\n"))?,
    }
    Ok(ExitCode::Success)
}
