//! The entries of lists and maps, one after the other. Values that were found to be wrong before are left out.

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess};

use super::reader::Reader;
use super::{Context, Error};
use crate::path::Step;
use crate::tree::{Entry, Node};

pub(super) struct Items<'a> {
    items: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
    context: &'a Context<'a>,
}

impl<'a> Items<'a> {
    pub(super) fn new(items: &'a [Node], context: &'a Context<'a>) -> Self {
        Self {
            items: items.iter().enumerate(),
            context,
        }
    }
}

impl<'a> SeqAccess<'a> for Items<'a> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'a>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        let context = self.context;
        for (index, node) in self.items.by_ref() {
            let reader = Reader { node, context };
            if !reader.is_left_out() {
                return context
                    .within(Step::Index(index), None, || seed.deserialize(reader))
                    .map(Some);
            }
        }
        Ok(None)
    }
}

pub(super) struct Fields<'a> {
    entries: std::slice::Iter<'a, Entry>,
    value: Option<&'a Entry>,
    context: &'a Context<'a>,
    /// The struct these are the fields of; none for a map.
    of: Option<&'static str>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(
        entries: &'a [Entry],
        context: &'a Context<'a>,
        of: Option<&'static str>,
    ) -> Self {
        Self {
            entries: entries.iter(),
            value: None,
            context,
            of,
        }
    }
}

impl<'a> MapAccess<'a> for Fields<'a> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'a>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        for entry in self.entries.by_ref() {
            let reader = Reader {
                node: &entry.node,
                context: self.context,
            };
            if !reader.is_left_out() {
                self.value = Some(entry);
                let key: StrDeserializer<'_, Error> = entry.key.as_str().into_deserializer();
                return seed.deserialize(key).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let entry = self
            .value
            .take()
            .ok_or_else(|| de::Error::custom("a value was asked for before its key"))?;
        let step = match self.of {
            Some(_) => Step::Field(entry.key.clone()),
            None => Step::Key(entry.key.clone()),
        };
        let reader = Reader {
            node: &entry.node,
            context: self.context,
        };
        self.context
            .within(step, self.of, || seed.deserialize(reader))
    }
}
