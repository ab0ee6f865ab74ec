//! What a manifest may ask of this process before it is refused. Each limit is far above real manifests and far below
//! what would hurt: an alias bomb of a few lines can describe more nodes than there is memory.

/// Bytes of one source. The kubelet reads at most this much of a static pod file; a `kubectl apply` sends at most 3 MiB.
pub const MAX_SOURCE_BYTES: usize = 10 << 20;

/// Nodes of one source, copies made by aliases included.
pub const MAX_NODES: usize = 500_000;

/// How deep maps and lists may nest. A Pod needs about 12.
pub const MAX_DEPTH: usize = 100;

/// Bytes of one object. The API server takes no more in one request; a `kind: List` is sent object by object.
pub const MAX_OBJECT_BYTES: usize = 3 << 20;

/// Characters of one message that are shown; a value in it may be as long as the manifest.
pub const MAX_SHOWN: usize = 4096;

/// Bytes gone through to find values of the wrong type, one value for each pass through an object.
pub const MAX_BYTES_OF_PASSES: usize = 4 << 20;

/// Problems reported for one object; the rest is cut, as the API server cuts its list of unknown fields.
pub const MAX_PROBLEMS: usize = 100;
