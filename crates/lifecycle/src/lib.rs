//! Decides what should happen next to one pod.
//!
//! Pure: no I/O, no clock, no randomness, no hash order. Facts and wishes go in with the time; instructions, Events, a status and one
//! deadline come out. The rules are those of the kubelet 1.36. `pod-lifecycle.md` beside the README tells them; its numbers stand beside them here.
//!
//! The contract:
//! 1. [`Observation`]s are facts, [`Action`]s are instructions, [`Request`]s are wishes of people.
//! 2. Every action ends in exactly one observation: done, failed with a typed reason, or cancelled.
//! 3. Actions carry an identity (container and attempt) and are safe to begin again.
//! 4. Same inputs, same outputs, in the same order.
//! 5. A failing workload is data in the status.
//!
//! One turn: [`PodMachine::observe`] each fact, [`PodMachine::request`] each wish, [`PodMachine::advance`] once, then drain
//! [`PodMachine::next_action`] and [`PodMachine::next_event`]; [`PodMachine::next_deadline`] says when to come again at the latest.
//! Coming early, late or twice is harmless.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod action;
mod backoff;
mod change;
mod conditions;
mod container;
mod decide;
mod ending;
mod event;
mod image;
mod index;
mod limits;
mod machine;
mod observation;
mod observe;
mod phase;
mod plan;
mod probe;
mod request;
mod reset;
mod restart;
mod retry;
mod settings;
mod snapshot;
mod start;
mod status;
mod stop;
mod sync;
mod time;

pub use action::{Action, Hook, ProbeKind, StopSignal};
pub use conditions::is_own_condition;
pub use event::{Event, EventKind};
pub use index::ContainerIndex;
pub use machine::{End, PodMachine};
pub use observation::{
    Exit, HookResult, ImageFacts, ImageFailure, Observation, ProbeOutcome, PullFacts, StartStage,
};
pub use phase::Phase;
pub use request::{Accepted, Condition, Refusal, Request};
pub use settings::{OnInitFailure, Settings};
pub use time::{Now, Timestamp, go_duration, kubernetes_time};

/// Serial number of an instance of a container within its pod. It only grows, and together with the container it names the instance. Not
/// the same as `restartCount`, which the kubelet counts in its own way.
pub type Attempt = u32;
