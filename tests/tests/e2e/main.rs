//! End-to-end tests: the real binary, real namespaces, real processes.

mod check;
mod crash;
mod examples;
mod foreground;
mod hooks;
mod init;
mod plan;
mod probes;
mod replay;
mod restart_pod;
mod sees_confinement;
mod sees_environment;
mod sees_files;
mod sees_limits;
mod sees_volumes;
mod storage;
mod volumes;
