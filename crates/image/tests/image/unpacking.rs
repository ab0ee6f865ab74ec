//! Layers: what becomes of every kind of entry, and of entries that want out.
