//! The image crate from outside: archives made here go in, directories come out.

mod archives;
mod fake;
mod joined;
mod lifetime;
mod misbehaving;
mod registries;
mod registry;
mod support;
mod unpacking;
