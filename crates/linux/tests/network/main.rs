//! Pod networks in real namespaces: what is reachable from where, who gets which port, and what is left behind.

mod bandwidth;
mod basics;
mod ports;
mod world;
