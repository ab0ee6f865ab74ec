//! Every field of a Kubernetes type, taken from the type itself: a deserializer that asks each struct for its fields and
//! goes into each of them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use podyard_api::k8s_openapi::Resource;
use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess,
    Visitor,
};

/// The path of every field of `T`, parents before children: `spec`, `spec.containers`, `spec.containers[].name`. Entries
/// of maps are `{}`. A struct inside itself is not gone into again.
pub(crate) fn of<T: DeserializeOwned>() -> BTreeSet<String> {
    walk::<T>(&[])
}

/// The same for a kind of object.
pub(crate) fn of_object<T: DeserializeOwned + Resource>() -> BTreeSet<String> {
    walk::<T>(&[
        ("apiVersion", T::API_VERSION),
        ("kind", T::KIND),
        ("spec.volumeClaimTemplates[].apiVersion", "v1"),
        ("spec.volumeClaimTemplates[].kind", "PersistentVolumeClaim"),
    ])
}

/// `texts` are those that a field has to have.
fn walk<T: DeserializeOwned>(texts: &[(&str, &str)]) -> BTreeSet<String> {
    let seen = RefCell::default();
    let probe = Probe {
        path: String::new(),
        inside: Vec::new(),
        texts,
        seen: &seen,
    };
    // The value that comes out is nothing; that the types could be made up shows that every branch was taken.
    if let Err(error) = T::deserialize(probe) {
        panic!("a type that cannot be walked through: {error}");
    }
    seen.into_inner()
}

#[derive(Clone)]
struct Probe<'p> {
    path: String,
    inside: Vec<&'static str>,
    texts: &'p [(&'p str, &'p str)],
    seen: &'p RefCell<BTreeSet<String>>,
}

impl Probe<'_> {
    fn at(&self, step: &str) -> Self {
        Self {
            path: format!("{}{step}", self.path),
            ..self.clone()
        }
    }
}

#[derive(Debug)]
struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_i64(1)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(true)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_i32(1)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_i64(1)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_f64(1.0)
    }

    /// Quantities, base64 texts and times are all content with one of these.
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let text = self.texts.iter().find(|(path, _)| *path == self.path);
        visitor.visit_str(text.map_or("1", |(_, text)| text))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str("")
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        match name {
            "Time" | "MicroTime" => {
                let text: StrDeserializer<'_, Error> = "2026-01-31T12:00:00Z".into_deserializer();
                visitor.visit_newtype_struct(text)
            }
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Once(Some(self.at("[]"))))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Fields {
            of: self,
            fields: ["{}"].iter(),
            value: None,
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let fields = if self.inside.contains(&name) {
            [].iter()
        } else {
            fields.iter()
        };
        self.inside.push(name);
        visitor.visit_map(Fields {
            of: self,
            fields,
            value: None,
        })
    }

    serde::forward_to_deserialize_any! {
        i8 i16 u8 u16 u32 u64 f32 char bytes byte_buf unit unit_struct tuple tuple_struct enum identifier ignored_any
    }
}

/// A list of one.
struct Once<'p>(Option<Probe<'p>>);

impl<'de> SeqAccess<'de> for Once<'_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        self.0
            .take()
            .map(|probe| seed.deserialize(probe))
            .transpose()
    }
}

struct Fields<'p> {
    of: Probe<'p>,
    fields: std::slice::Iter<'static, &'static str>,
    value: Option<&'static str>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some(field) = self.fields.next() else {
            return Ok(None);
        };
        self.value = Some(field);
        let key: StrDeserializer<'_, Error> = (*field).into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let field = self.value.take().expect("a key before its value");
        let probe = if field == "{}" {
            self.of.at("{}")
        } else {
            let dot = if self.of.path.is_empty() { "" } else { "." };
            self.of.at(&format!("{dot}{field}"))
        };
        self.of.seen.borrow_mut().insert(probe.path.clone());
        seed.deserialize(probe)
    }
}
