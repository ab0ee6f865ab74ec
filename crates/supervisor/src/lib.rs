//! Keeps one pod's promises on this machine: event loop, drivers, state directory, control socket.
//!
//! ```text
//! pods::create ─▶ keeper ─▶ supervise ─▶ event_loop ◀──observations── drivers ─▶ podyard-linux, podyard-image
//!                                            │  ▲                        ▲
//!                              podyard-lifecycle│                        │
//!                                            ▼  └──requests── socket     │
//!                                        journal ──────actions──────────┘
//! ```
//!
//! One thread, one wait, one clock read a turn. Written down first, done second, told third.

#![forbid(unsafe_code)]

mod atomic;
mod child;
pub mod clock;
pub mod cri;
mod drivers;
mod event_loop;
mod events;
mod failed_probes;
pub mod journal;
pub mod keeper;
mod kept;
pub mod limits;
mod link;
mod lock;
mod log_reader;
pub mod logs;
mod node;
mod pod_text;
pub mod pods;
pub mod pull;
mod query;
mod ready;
mod record;
pub mod replay;
mod role;
mod roots;
pub mod rotation;
mod socket;
mod spread;
mod supervise;
mod translate;
pub mod usage;
mod users;

pub use drivers::{remove_claim, run_resolve as resolve};
pub use failed_probes::FailedProbe;
pub use journal::Turn;
pub use kept::{Exclusive, Kept};
pub use log_reader::LogReader;
pub use pods::{NewPod, PodError, PodHandle};
pub use record::{PodRecord, RunOptions};
pub use role::RoleArguments;
pub use roots::{PodDirs, Roots};
pub use socket::client::{
    Chunks, Client, ClientError, ContainerMetrics, ContainerUsage, ExecInput, ExecOutput,
    ExecReader, ExecStream, Lines, PodMetrics, WatchEvent,
};
