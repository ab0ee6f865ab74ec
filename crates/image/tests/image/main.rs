//! The image crate from outside: archives made here go in, directories come out.

mod archives;
mod lifetime;
mod registries;
mod registry;
mod support;
mod unpacking;
