//! Platforms: which variant of a multi-platform image fits this machine.
//!
//! Names are Go's (`GOOS`, `GOARCH`), as the OCI image specification demands.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Operating system, architecture and, for some architectures, a variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`, `windows`, …
    pub os: String,
    /// `amd64`, `arm64`, `arm`, …
    pub architecture: String,
    /// `v7`, `v8`, …; absent where the architecture has one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// The platform this program was built for.
    #[must_use]
    pub fn host() -> Self {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", None),
            "x86" => ("386", None),
            "aarch64" => ("arm64", Some("v8")),
            "arm" => ("arm", Some("v7")),
            "powerpc64" => ("ppc64le", None),
            "loongarch64" => ("loong64", None),
            other => (other, None), // riscv64 and s390x are called the same in both worlds
        };
        Self {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
        }
    }

    /// How well an offer suits this platform; `None` if it cannot run, otherwise the greater the better.
    ///
    /// A missing variant means the architecture's usual one. 32-bit arm runs lower variants too, so the highest
    /// that is not above our own wins.
    pub(crate) fn suitability(&self, offer: &Self) -> Option<u8> {
        if self.os != offer.os || self.architecture != offer.architecture {
            return None;
        }
        let usual = match self.architecture.as_str() {
            "arm64" => "v8",
            "arm" => "v7",
            _ => "v1",
        };
        let level = |platform: &Self| {
            let variant = platform
                .variant
                .as_deref()
                .filter(|text| !text.is_empty())
                .unwrap_or(usual);
            variant
                .trim_start_matches('v')
                .split('.')
                .next()
                .and_then(|number| number.parse::<u8>().ok())
                .unwrap_or(0)
        };
        (level(offer) <= level(self)).then(|| level(offer))
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) if !variant.is_empty() => write!(f, "/{variant}"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        let mut parts = text.split('/').map(str::to_owned);
        Platform {
            os: parts.next().unwrap(),
            architecture: parts.next().unwrap(),
            variant: parts.next(),
        }
    }

    #[test]
    fn offers_are_ranked_by_what_the_machine_can_run() {
        for (own, offer, expected) in [
            ("linux/amd64", "linux/amd64", Some(1)),
            ("linux/amd64", "linux/amd64/v3", None),
            ("linux/amd64", "windows/amd64", None),
            ("linux/amd64", "linux/arm64", None),
            ("linux/arm64/v8", "linux/arm64", Some(8)),
            ("linux/arm/v7", "linux/arm/v6", Some(6)),
            ("linux/arm/v6", "linux/arm/v7", None),
        ] {
            assert_eq!(
                platform(own).suitability(&platform(offer)),
                expected,
                "{own} runs {offer}"
            );
        }
    }

    #[test]
    fn prints_as_users_write_it() {
        assert_eq!(platform("linux/arm/v7").to_string(), "linux/arm/v7");
        assert_eq!(platform("linux/amd64").to_string(), "linux/amd64");
    }
}
