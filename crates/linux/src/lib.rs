//! From a plain plan to running processes: sandboxes, containers, cgroups, mounts, networks.
