//! From Kubernetes objects to text. Pure: objects and the time come in, strings go out; who prints them is decided in `commands`.

pub(crate) mod age;
pub(crate) mod columns;
pub(crate) mod describe;
pub(crate) mod escape;
pub(crate) mod events;
pub(crate) mod jsonpath;
pub(crate) mod named;
pub(crate) mod object;
pub(crate) mod plan;
pub(crate) mod prefix;
pub(crate) mod progress;
pub(crate) mod size;
pub(crate) mod status_column;
pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod timeline;
pub(crate) mod times;
pub(crate) mod verdict;

#[cfg(test)]
pub(crate) mod samples;
