//! What a manifest would do, as data and as text or picture: the order of starts and what each waits for, images, ports, who
//! writes and who reads each volume, what the pod asks for.

mod manifest;
mod mermaid;
mod model;
mod resources;
mod svg;
mod text;

pub(crate) use manifest::with_restart_rules;
pub(crate) use mermaid::mermaid;
pub(crate) use model::{ImageState, Plan, Subject};
pub(crate) use svg::svg;
pub(crate) use text::text;
