//! What became of what ran: exit codes, and the words for them.

use super::super::signals::{SIGPIPE, Stopping};
use super::super::units::Over;
use crate::exit_code::ExitCode;
use crate::objects::{Pod, PodExt as _};
use crate::output::verdict::first_failure;
use crate::watcher::End;

/// What became of a pod.
pub(super) fn of_pod(
    pod: &Pod,
    end: Option<End>,
    stopping: Stopping,
    verdict: &str,
) -> (ExitCode, String) {
    match (stopping, end) {
        (Stopping::Gracefully(SIGPIPE), _) => (ExitCode::Success, "deleted".to_owned()),
        (Stopping::Gracefully(signal) | Stopping::AtOnce(signal), Some(End::Deleted)) => {
            (ExitCode::Signal(signal), "deleted".to_owned())
        }
        (Stopping::Not, Some(End::Deleted)) => (ExitCode::Failure, "was deleted".to_owned()),
        _ if pod.phase() == "Succeeded" => (ExitCode::Success, "succeeded".to_owned()),
        _ if pod.phase() == "Failed" => (code_of_failure(pod), verdict.to_owned()),
        _ => (
            ExitCode::Failure,
            format!("cannot be watched any more; it was {verdict}"),
        ),
    }
}

/// What became of a unit that is more than a pod. `last_failed` is the pod of a job that failed last.
pub(super) fn of_unit(over: &Over, last_failed: Option<&Pod>) -> (ExitCode, String) {
    match over {
        Over::Complete => (ExitCode::Success, "complete".to_owned()),
        Over::Failed { reason, message } => {
            // A pod that was stopped for the time has a code that says nothing.
            let own = last_failed.filter(|_| *reason != "DeadlineExceeded");
            let code = own.map_or(ExitCode::Failure, code_of_failure);
            (code, format!("failed: {reason}: {message}"))
        }
        Over::Pod | Over::Nothing => (ExitCode::Success, "has no pods: `replicas` is 0".to_owned()),
    }
}

/// That of the first container that failed.
fn code_of_failure(pod: &Pod) -> ExitCode {
    let code = first_failure(pod).map(|(_, end)| ExitCode::of_workload(end.exit_code));
    code.unwrap_or(ExitCode::Failure)
}

#[cfg(test)]
mod tests {
    use super::super::super::signals::{SIGINT, SIGTERM};
    use super::*;
    use crate::output::samples::{app, exited, init, pod, running};

    #[test]
    fn the_exit_code_is_the_workloads() {
        let code = |pod: &Pod, end, stopping| of_pod(pod, end, stopping, "").0.number();
        let terminal = Some(End::Terminal);
        let succeeded = pod("Succeeded", [init("i", exited(0)), app("a", exited(0))]);
        assert_eq!(code(&succeeded, terminal, Stopping::Not), 0);
        let failed = pod(
            "Failed",
            [
                init("i", exited(0)),
                app("a", exited(0)),
                app("b", exited(3)),
                app("c", exited(4)),
            ],
        );
        assert_eq!(code(&failed, terminal, Stopping::Not), 3);
        let failed_init = pod("Failed", [init("i", exited(7)), app("a", exited(0))]);
        assert_eq!(code(&failed_init, terminal, Stopping::Not), 7);
        let evicted = pod("Failed", []);
        assert_eq!(code(&evicted, terminal, Stopping::Not), 1);
        // Ended by itself just before it was told to: its own code counts.
        assert_eq!(code(&failed, terminal, Stopping::Gracefully(SIGINT)), 3);
    }

    #[test]
    fn a_deleted_pod_has_the_code_of_who_deleted_it() {
        let code = |stopping| {
            of_pod(
                &pod("Failed", [app("a", running())]),
                Some(End::Deleted),
                stopping,
                "",
            )
            .0
            .number()
        };
        assert_eq!(code(Stopping::Gracefully(SIGINT)), 130);
        assert_eq!(code(Stopping::AtOnce(SIGTERM)), 143);
        assert_eq!(code(Stopping::Not), 1);
        assert_eq!(code(Stopping::Gracefully(SIGPIPE)), 0);
    }

    #[test]
    fn a_job_has_the_code_of_the_pod_that_failed_last() {
        let failed = |reason| Over::Failed {
            reason,
            message: "message".to_owned(),
        };
        let limit = failed("BackoffLimitExceeded");
        let late = failed("DeadlineExceeded");
        let pod = pod("Failed", [app("a", exited(3))]);
        assert_eq!(of_unit(&limit, Some(&pod)).0.number(), 3);
        assert_eq!(of_unit(&limit, None).0.number(), 1);
        assert_eq!(of_unit(&late, Some(&pod)).0.number(), 1);
        assert_eq!(of_unit(&late, None).1, "failed: DeadlineExceeded: message");
        assert_eq!(of_unit(&Over::Complete, Some(&pod)).0.number(), 0);
    }
}
