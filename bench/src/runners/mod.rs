//! Who is measured.

mod floor;
mod podman;
mod podyard;

pub(crate) use floor::{APART, Floor};
pub(crate) use podman::Podman;
pub(crate) use podyard::Podyard;
