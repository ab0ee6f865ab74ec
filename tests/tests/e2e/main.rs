//! End-to-end tests: the real binary, real namespaces, real processes.

mod apply;
mod check;
mod commands;
mod crash;
mod errors;
mod examples;
mod exec;
mod foreground;
mod hooks;
mod images;
mod init;
mod logs;
mod plan;
mod probes;
mod readme;
mod replay;
mod restart_pod;
mod sees_confinement;
mod sees_environment;
mod sees_files;
mod sees_limits;
mod sees_volumes;
mod storage;
mod volumes;
mod workloads;
