//! End-to-end tests: the real binary, real namespaces, real processes.

mod examples;
mod hooks;
mod probes;
mod storage;
