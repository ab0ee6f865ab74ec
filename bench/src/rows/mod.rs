//! The rows, one file each.

mod chain;
mod core;
mod curves;
mod exec;
mod gap;
mod logs;
mod many;
mod memory;
mod probes;
mod sample;
mod startup;

use crate::Result;
use crate::lab::Lab;
use crate::report::Row;

/// A group of figures that are measured together.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) measure: fn(&Lab) -> Result<Vec<Row>>,
}

/// In the order of the report.
pub(crate) const ALL: [Group; 11] = [
    Group {
        name: "chain",
        what: "from the manifest to the app's execve, by number of init containers",
        measure: chain::measure,
    },
    Group {
        name: "gap",
        what: "between two init containers that work",
        measure: gap::measure,
    },
    Group {
        name: "sample",
        what: "a Pod with an init container and nginx: up to the page, and its deletion",
        measure: sample::measure,
    },
    Group {
        name: "exec",
        what: "a command in a running container",
        measure: exec::measure,
    },
    Group {
        name: "startup",
        what: "the command itself",
        measure: startup::measure,
    },
    Group {
        name: "many",
        what: "a hundred pods at once",
        measure: many::measure,
    },
    Group {
        name: "memory",
        what: "memory beside the workload",
        measure: memory::measure,
    },
    Group {
        name: "probes",
        what: "processor time of probes",
        measure: probes::measure,
    },
    Group {
        name: "logs",
        what: "log throughput",
        measure: logs::measure,
    },
    Group {
        name: "core",
        what: "decisions per second of the lifecycle core",
        measure: core::measure,
    },
    Group {
        name: "curves",
        what: "what a step costs on a full machine",
        measure: curves::measure,
    },
];

/// Those that were asked for; all without a wish.
pub(crate) fn choose(only: &[String]) -> Result<Vec<&'static Group>> {
    let known = |name: &String| ALL.iter().any(|group| group.name == name);
    if let Some(unknown) = only.iter().find(|name| !known(name)) {
        return Err(format!("no row `{unknown}`; --list names them").into());
    }
    let wanted = |group: &&Group| only.is_empty() || only.iter().any(|name| name == group.name);
    Ok(ALL.iter().filter(wanted).collect())
}
