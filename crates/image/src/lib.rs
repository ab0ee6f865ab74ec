//! Image references, registries, content store, unpacked layers.
