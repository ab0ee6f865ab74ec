//! Image references, registries, content store, unpacked layers.
//!
//! The crate turns a name such as `nginx:latest` into directories that an overlay mount can be made of:
//!
//! ```text
//! name ──reference──▶ Reference ──Store::lookup──▶ Image { layers: [dir, dir, …], config }
//!                        │                            ▲
//!                        ├──Store::pull──▶ registry ──┤ manifest → config → layers, each
//!                        └──Store::import─▶ archive ──┘ verified, unpacked, renamed into place
//! ```
//!
//! It knows neither Kubernetes nor containers: when to pull is the caller's decision, and so is what an image
//! is used for. It mounts nothing. Everything that comes out of an archive or a registry is taken for hostile.

#![forbid(unsafe_code)]

mod config;
mod digest;
mod import;
mod ingest;
pub mod limits;
mod manifest;
mod platform;
mod progress;
mod reference;
mod registry;
mod store;
mod unpack;

pub use config::ImageConfig;
pub use digest::{Digest, DigestError};
pub use import::{ImportError, ImportOptions};
pub use manifest::ManifestError;
pub use platform::Platform;
pub use progress::{LayerSize, Progress};
pub use reference::{Reference, ReferenceError};
pub use registry::{
    AuthError, AuthFile, Credentials, Mirror, PullError, PullErrorKind, PullOptions, Pulled,
};
pub use store::{GcReport, Image, Lease, NameStamp, Origin, Removed, Store, StoreError};
pub use unpack::{ArchiveError, LayerError};
