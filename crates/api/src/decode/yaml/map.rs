//! The entries of a map while it is read: keys that occur twice, and merge keys.

use std::collections::HashMap;

use crate::tree::{Entry, Node, Range};

#[derive(Default)]
pub(super) struct MapBuilder {
    pub(super) entries: Vec<Entry>,
    /// Position of each key, and whether the document itself (not a merge) wrote it.
    index: HashMap<String, (usize, bool)>,
}

impl MapBuilder {
    /// Returns whether the document wrote this key before. Then the first value stays.
    pub(super) fn explicit(&mut self, key: &str, key_range: Range, node: Node) -> bool {
        let entry = Entry {
            key: key.to_owned(),
            key_range,
            node,
        };
        match self.index.get_mut(key) {
            Some((_, true)) => return true,
            Some((position, explicit)) => {
                *explicit = true;
                self.entries[*position] = entry;
            }
            None => {
                self.index
                    .insert(key.to_owned(), (self.entries.len(), true));
                self.entries.push(entry);
            }
        }
        false
    }

    /// Returns the key when it replaces one that the document wrote itself.
    pub(super) fn merged(&mut self, entry: Entry) -> Option<String> {
        match self.index.get(&entry.key) {
            Some((position, explicit)) => {
                let replaced = explicit.then(|| entry.key.clone());
                self.entries[*position] = entry;
                replaced
            }
            None => {
                self.index
                    .insert(entry.key.clone(), (self.entries.len(), false));
                self.entries.push(entry);
                None
            }
        }
    }
}
