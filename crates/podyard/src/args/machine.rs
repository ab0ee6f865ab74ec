//! Verbs about the machine and the program: image, system, version.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::ObjectOutputArg;

#[derive(Debug, Subcommand)]
pub(crate) enum ImageVerb {
    /// Take images out of OCI or Docker archives; `-` is stdin
    Import(ImageImportArgs),
    /// List the images of the store
    #[command(visible_alias = "ls")]
    List(ImageListArgs),
    /// Fetch images from their registries
    Pull(ImagePullArgs),
    /// Remove images
    #[command(visible_alias = "remove")]
    Rm(ImageRemoveArgs),
    /// Show an image's configuration and layers
    Inspect(ImageInspectArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ImageImportArgs {
    /// Archives
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// The name for an archive that does not tell its own
    #[arg(long, value_name = "REFERENCE")]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ImageListArgs {
    /// json or yaml
    #[arg(short, long, value_name = "FORMAT", hide_possible_values = true)]
    pub(crate) output: Option<ObjectOutputArg>,
}

#[derive(Debug, Args)]
pub(crate) struct ImagePullArgs {
    /// References such as busybox:latest
    #[arg(value_name = "REFERENCE", required = true)]
    pub(crate) references: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ImageRemoveArgs {
    /// References or image ids
    #[arg(value_name = "REFERENCE", required = true)]
    pub(crate) references: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ImageInspectArgs {
    /// A reference or an image id
    #[arg(value_name = "REFERENCE")]
    pub(crate) reference: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SystemVerb {
    /// How much disk images, volumes and logs take
    Df(SystemArgs),
    /// Remove pods that have ended and images that no pod uses
    Prune(PruneArgs),
    /// What this machine offers, and what that means for pods
    Info(SystemArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SystemArgs {
    /// json or yaml
    #[arg(short, long, value_name = "FORMAT", hide_possible_values = true)]
    pub(crate) output: Option<ObjectOutputArg>,
}

#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// Only say what would go
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Also images that are named but not in use
    #[arg(short, long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    /// json or yaml
    #[arg(short, long, value_name = "FORMAT", hide_possible_values = true)]
    pub(crate) output: Option<ObjectOutputArg>,
}
