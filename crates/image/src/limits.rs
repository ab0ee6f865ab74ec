//! Every limit that hostile or broken images run into, with its reason.
//!
//! Reaching one is an error that names the limit (`too large`), never a panic or a silent cut.

/// A manifest or index, in bytes. Registries accept at most 4 MiB, so nothing real is larger.
pub const MAX_MANIFEST_BYTES: u64 = 4 << 20;

/// An image configuration, in bytes. It is held in memory; real ones are some kilobytes.
pub const MAX_CONFIG_BYTES: u64 = 8 << 20;

/// A token answer or error document of a registry, in bytes.
pub const MAX_ANSWER_BYTES: u64 = 1 << 20;

/// A registry auth file or a file with certificates, in bytes.
pub const MAX_AUTH_FILE_BYTES: u64 = 4 << 20;

/// Layers of one image. Overlayfs refuses more than 500 lower directories.
pub const MAX_LAYERS: usize = 500;

/// How deep indexes may point to indexes. Real ones do so once (attestations, archives of several images).
pub const MAX_INDEX_DEPTH: usize = 4;

/// Descriptors in one index, so that a small document cannot cause endless requests.
pub const MAX_INDEX_ENTRIES: usize = 1000;

/// Entries (files, directories, links) in one layer: each costs an inode, and inodes cannot be added to a file
/// system. The largest real layers have a few hundred thousand.
pub const MAX_LAYER_ENTRIES: u64 = 2_000_000;

/// File content of one layer once unpacked, in bytes. A few kilobytes of gzip can grow to this; the largest
/// real layers (machine learning) are some 20 GiB.
pub const MAX_LAYER_BYTES: u64 = 128 << 30;

/// Bytes of archive stream after inflation: content, headers and padding; the rest of a bomb is just not read.
pub const MAX_STREAM_BYTES: u64 = MAX_LAYER_BYTES + (MAX_LAYER_ENTRIES << 12);

/// What unpacking leaves free for everybody else: this many bytes or [`RESERVED_FRACTION`] of the file system,
/// whichever is less. A full root file system takes the whole machine down.
pub const RESERVED_BYTES: u64 = 256 << 20;

/// See [`RESERVED_BYTES`]: one part in this many.
pub const RESERVED_FRACTION: u64 = 50;

/// Of its inodes, unpacking leaves one part in this many free.
pub const RESERVED_INODES_FRACTION: u64 = 500;

/// How many bytes are written between two looks at the free space.
pub const SPACE_CHECK_INTERVAL_BYTES: u64 = 32 << 20;

/// A path or link target in an archive, in bytes (`PATH_MAX` without the final zero).
pub const MAX_PATH_BYTES: usize = 4095;

/// One component of a path, in bytes (`NAME_MAX`).
pub const MAX_NAME_BYTES: usize = 255;

/// Components of one path: bounds the work per entry, and covers every real tree several times over.
pub const MAX_PATH_DEPTH: usize = 512;

/// Extended header data (pax records, long names) of one entry, in bytes; it is held in memory. Go's archive
/// reader, and with it every other runtime, has the same limit.
pub const MAX_EXTENDED_HEADER_BYTES: u64 = 1 << 20;

/// Pieces of one sparse file; each costs a system call or two.
pub const MAX_SPARSE_SEGMENTS: usize = 100_000;

/// Files in an image archive. Each costs some memory while the archive is read.
pub const MAX_ARCHIVE_FILES: usize = 100_000;

/// Images in one archive.
pub const MAX_ARCHIVE_IMAGES: usize = 1000;

/// Layers unpacked at the same time, at most: each takes two threads.
pub const MAX_PARALLEL_LAYERS: usize = 3;

/// How often in a row a layer's download may break off without a byte gained, before it is given up.
pub const MAX_DOWNLOAD_ATTEMPTS: u32 = 3;

/// Milliseconds before the next attempt; doubled for each failure in a row.
pub const RETRY_PAUSE_MILLISECONDS: u64 = 50;

/// Seconds until a connection to a registry stands.
pub const CONNECT_TIMEOUT_SECONDS: u64 = 15;

/// Seconds without a single byte after which a registry counts as dead.
pub const STALL_TIMEOUT_SECONDS: u64 = 60;

/// Length of a lease owner's name, in bytes: it becomes a directory name.
pub const MAX_OWNER_BYTES: usize = 200;
