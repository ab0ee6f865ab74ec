//! One value of the tree, read as whatever the type asks for.

use std::any::type_name;

use serde::de::value::StrDeserializer;
use serde::de::{self, Deserializer, IntoDeserializer, Visitor};

use super::access::{Fields, Items};
use super::{Context, Error};
use crate::decode::{go_time, go_types, scalar};
use crate::go::quote;
use crate::quantity;
use crate::tree::{Entry, Node, Value};

#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) node: &'a Node,
    pub(super) context: &'a Context<'a>,
}

impl<'a> Reader<'a> {
    fn address(self) -> usize {
        std::ptr::from_ref(self.node).addr()
    }

    pub(super) fn is_left_out(self) -> bool {
        self.context.left_out.contains(&self.address())
    }

    /// An error that a visitor made without knowing where.
    fn place(self, mut error: Error) -> Error {
        if error.path.is_none() {
            error.path = Some(self.context.path());
            error.node = Some(self.address());
        }
        error
    }

    /// The value is of another type: `wanted` for people, `go` for the API server's text.
    fn mismatch(self, wanted: &str, go: &str) -> Error {
        let document = self.context.document;
        let written = document.text_of(self.node.range);
        let is_secret = document.is_secret(&self.context.path());
        let found = match &self.node.value {
            Value::Null => "null".to_owned(),
            Value::Bool(_) if !is_secret => format!("the boolean {written}"),
            Value::Bool(_) => "a boolean".to_owned(),
            Value::Number(_) if written.len() < 60 && !is_secret => format!("the number {written}"),
            Value::Number(_) => "a number".to_owned(),
            Value::String(text) if text.len() < 60 && !is_secret => {
                format!("the string {}", quote(text))
            }
            Value::String(_) => "a string".to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        };
        let field = self.context.field();
        let named = field.and_then(|(of, name)| {
            go_types::named(of, &name, matches!(self.node.value, Value::List(_)))
        });
        let go = match named {
            Some(named) if go == "string" || go == "[]string" => named,
            _ => go,
        };
        let number = match &self.node.value {
            Value::Number(text) if go.starts_with("int") => format!("number {text}"),
            other => other.kind().to_owned(),
        };
        let hint = match (&self.node.value, wanted) {
            (Value::Bool(_) | Value::Number(_), "a string") if is_secret => {
                Some("put it in quotes".to_owned())
            }
            (Value::Bool(_) | Value::Number(_), "a string") if written.len() < 60 => {
                Some(format!("put it in quotes: {}", quote(written)))
            }
            (Value::String(text), _)
                if wanted.starts_with("a whole number") && scalar::number(text).is_some() =>
            {
                Some("remove the quotes".to_owned())
            }
            (Value::String(text), "true or false") if matches!(text.as_str(), "true" | "false") => {
                Some("remove the quotes".to_owned())
            }
            (Value::Map(_), "a list") => Some("begin each entry of the list with `- `".to_owned()),
            (Value::String(_), "a list") => Some(
                "write a list: `[one, two]`, or one entry per line, each after `- `".to_owned(),
            ),
            _ => None,
        };
        Error {
            message: format!("must be {wanted}, but is {found}"),
            server: Some(format!(
                "json: cannot unmarshal {number} into {} of type {go}",
                self.context.go_field()
            )),
            hint,
            path: Some(self.context.path()),
            node: Some(self.address()),
        }
    }

    fn integer<T: std::str::FromStr + Default>(self, wanted: &str, go: &str) -> Result<T, Error> {
        match &self.node.value {
            Value::Number(text) => text.parse().map_err(|_| self.mismatch(wanted, go)),
            Value::Null => Ok(T::default()),
            _ => Err(self.mismatch(wanted, go)),
        }
    }

    fn text(self) -> Result<&'a str, Error> {
        match &self.node.value {
            Value::String(text) => Ok(text),
            Value::Null => Ok(""),
            _ => Err(self.mismatch("a string", "string")),
        }
    }

    /// A quantity may be a number; it is kept in canonical form, as the API server keeps it.
    fn quantity(self) -> Result<String, Error> {
        let text = match &self.node.value {
            Value::String(text) | Value::Number(text) => text.as_str(),
            Value::Null => "0",
            Value::Bool(true) => "true",
            _ => "false",
        };
        let value: quantity::Value = text.parse().map_err(|error: quantity::QuantityError| {
            let mut located = self.place(de::Error::custom(format!(
                "{} is no quantity: {error}",
                quote(text)
            )));
            located.server = Some(error.to_string());
            located.hint = quantity::hint(text);
            located
        })?;
        Ok(value.to_string())
    }
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ty, $wanted:literal, $go:literal;)*) => {
        $(fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
            let value: $type = self.integer($wanted, $go)?;
            visitor.$visit(value).map_err(|error| self.place(error))
        })*
    };
}

impl<'a> Deserializer<'a> for Reader<'a> {
    type Error = Error;

    /// Used by the two types that accept several: port numbers or names, and free-form JSON.
    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        let result = match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(text) => match (
                text.parse::<i64>(),
                text.parse::<u64>(),
                text.parse::<f64>(),
            ) {
                (Ok(value), _, _) => visitor.visit_i64(value),
                (_, Ok(value), _) => visitor.visit_u64(value),
                (_, _, Ok(value)) => visitor.visit_f64(value),
                _ => return Err(self.mismatch("a number", "float64")),
            },
            Value::String(text) => visitor.visit_str(text),
            Value::List(items) => visitor.visit_seq(Items::new(items, self.context)),
            Value::Map(entries) => visitor.visit_map(Fields::new(entries, self.context, None)),
        };
        result.map_err(|error| {
            if error.path.is_some() {
                error
            } else {
                self.mismatch(
                    "a whole number (a port) or a string (a port's name)",
                    "int32",
                )
            }
        })
    }

    fn deserialize_bool<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Null => visitor.visit_bool(false),
            _ => Err(self.mismatch("true or false", "bool")),
        }
        .map_err(|error| self.place(error))
    }

    integers! {
        deserialize_i8 visit_i8 i8, "a whole number", "int8";
        deserialize_i16 visit_i16 i16, "a whole number", "int16";
        deserialize_i32 visit_i32 i32, "a whole number of at most 32 bits", "int32";
        deserialize_i64 visit_i64 i64, "a whole number of at most 64 bits", "int64";
        deserialize_u8 visit_u8 u8, "a whole number", "uint8";
        deserialize_u16 visit_u16 u16, "a whole number", "uint16";
        deserialize_u32 visit_u32 u32, "a whole number", "uint32";
        deserialize_u64 visit_u64 u64, "a whole number", "uint64";
        deserialize_f32 visit_f32 f32, "a number", "float32";
        deserialize_f64 visit_f64 f64, "a number", "float64";
    }

    fn deserialize_char<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_string(visitor)
    }

    /// Only base64 texts and times ask for a borrowed string.
    fn deserialize_str<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        let Value::String(text) = &self.node.value else {
            return Err(self.mismatch("a string", "[]uint8"));
        };
        let joined: String = text
            .chars()
            .filter(|character| !matches!(character, '\r' | '\n'))
            .collect();
        visitor.visit_str(&joined).map_err(|error| {
            let mut error = self.place(error);
            if let Some(at) = go_types::base64_fault(text) {
                error.message = format!("is no base64: illegal character or padding at byte {at}");
                error.server = Some(format!("illegal base64 data at input byte {at}"));
                error.hint =
                    Some("`data` holds base64; plain text belongs into `stringData`".to_owned());
            }
            error
        })
    }

    fn deserialize_string<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor
            .visit_str(self.text()?)
            .map_err(|error| self.place(error))
    }

    fn deserialize_bytes<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_string(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_string(visitor)
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'a>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        match name {
            "Quantity" => visitor.visit_newtype_struct(self.quantity()?.into_deserializer()),
            "Time" | "MicroTime" => {
                let text = self.text()?;
                let text: StrDeserializer<'_, Error> = text.into_deserializer();
                let written = self.text()?;
                visitor.visit_newtype_struct(text).map_err(|mut error| {
                    error.message = format!("must be a time, but is the string {}", quote(written));
                    error.server = Some(go_time::fault(written));
                    error.hint = Some("a time looks like 2026-01-31T12:00:00Z".to_owned());
                    error
                })
            }
            _ => visitor.visit_newtype_struct(self),
        }
        .map_err(|error| self.place(error))
    }

    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::List(items) => visitor.visit_seq(Items::new(items, self.context)),
            Value::Null => visitor.visit_seq(Items::new(&[], self.context)),
            _ => Err(self.mismatch("a list", &go_types::of(type_name::<V::Value>()))),
        }
        .map_err(|error| self.place(error))
    }

    fn deserialize_tuple<V: Visitor<'a>>(self, _len: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Map(entries) => visitor.visit_map(Fields::new(entries, self.context, None)),
            Value::Null => visitor.visit_map(Fields::new(&[], self.context, None)),
            _ => Err(self.mismatch(
                "a map of keys to values",
                &go_types::of(type_name::<V::Value>()),
            )),
        }
        .map_err(|error| self.place(error))
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let entries: &[Entry] = match &self.node.value {
            Value::Map(entries) => entries,
            Value::Null => &[],
            _ => return Err(self.mismatch("a map of fields", &format!("v1.{name}"))),
        };
        for entry in entries {
            if !fields.contains(&entry.key.as_str()) {
                self.context.unknown_field(entry, name, fields);
            }
        }
        visitor
            .visit_map(Fields::new(entries, self.context, Some(name)))
            .map_err(|error| self.place(error))
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(self.text()?.into_deserializer())
    }

    fn deserialize_identifier<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_string(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }
}
