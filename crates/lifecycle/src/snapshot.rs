//! The version of a stored machine. The fields of a machine are its format, so the number changes with any of them.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const CURRENT: u32 = 2;

/// Stands in every snapshot, and refuses one of another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version;

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(CURRENT)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            CURRENT => Ok(Self),
            other => Err(de::Error::invalid_value(
                de::Unexpected::Unsigned(other.into()),
                &"a machine of version 2",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_is_refused() {
        assert!(serde_json::from_str::<Version>("2").is_ok());
        assert!(serde_json::from_str::<Version>("1").is_err());
        assert!(serde_json::from_str::<Version>("0").is_err());
    }
}
