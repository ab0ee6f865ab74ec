//! End-to-end tests: the real binary, real namespaces, real processes.

mod crash;
mod examples;
mod foreground;
mod hooks;
mod init;
mod probes;
mod replay;
mod restart_pod;
mod storage;
mod volumes;
