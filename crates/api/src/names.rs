//! The rules for names and keys, with the API server's words for breaking them.
//!
//! Each function returns the messages, none when the text is fine.

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const SEARCH_DOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')";
const QUALIFIED: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const CONFIG_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const ENV_NAME: &str = "a valid environment variable name must consist only of printable ASCII characters other than '='";
const HTTP_HEADER: &str = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";

fn lower_or_digit(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// `inner` characters between two of `ends`.
fn framed(text: &str, ends: fn(u8) -> bool, inner: fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(first), Some(last)) => {
            ends(*first) && ends(*last) && bytes.iter().all(|byte| inner(*byte))
        }
        _ => false,
    }
}

fn is_label(text: &str) -> bool {
    framed(text, lower_or_digit, |byte| {
        lower_or_digit(byte) || byte == b'-'
    })
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

fn is_qualified(text: &str) -> bool {
    framed(
        text,
        |byte| byte.is_ascii_alphanumeric(),
        |byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte),
    )
}

/// Names of containers and volumes, hostnames, namespaces.
#[must_use]
pub fn dns_label(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if text.len() > 63 {
        found.push("must be no more than 63 characters".to_owned());
    }
    if !is_label(text) {
        let message = if is_subdomain(text) {
            "must not contain dots"
        } else {
            LABEL
        };
        found.push(message.to_owned());
    }
    found
}

/// Names of pods, ConfigMaps, Secrets and most other objects.
#[must_use]
pub fn dns_subdomain(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if text.len() > 253 {
        found.push("must be no more than 253 characters".to_owned());
    }
    if !is_subdomain(text) {
        found.push(SUBDOMAIN.to_owned());
    }
    found
}

/// A prefix that a suffix will follow: one dash may end it.
#[must_use]
pub fn dns_subdomain_prefix(text: &str) -> Vec<String> {
    match text.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => {
            // The dash and the character before it stand for what will follow.
            let kept: String = rest.chars().take(rest.chars().count() - 1).collect();
            dns_subdomain(&format!("{kept}aa"))
        }
        _ => dns_subdomain(text),
    }
}

/// Entries of `dnsConfig.searches`: underscores are allowed, and so is a dot at the end.
#[must_use]
pub fn search_domain(text: &str) -> Vec<String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.is_empty() {
        return Vec::new();
    }
    let part = |part: &str| {
        framed(
            part.strip_prefix('_').unwrap_or(part),
            lower_or_digit,
            |byte| lower_or_digit(byte) || b"-_".contains(&byte),
        )
    };
    let mut found = Vec::new();
    if text.len() > 253 {
        found.push("must be no more than 253 characters".to_owned());
    }
    if !text.split('.').all(part) {
        found.push(SEARCH_DOMAIN.to_owned());
    }
    found
}

/// Keys of labels and annotations, names of resources, conditions and gates.
#[must_use]
pub fn qualified_name(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let parts: Vec<&str> = text.split('/').collect();
    let name = match parts.as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                found.push("prefix part must be non-empty".to_owned());
            } else {
                found.extend(
                    dns_subdomain(prefix)
                        .iter()
                        .map(|message| format!("prefix part {message}")),
                );
            }
            *name
        }
        _ => {
            return vec![format!(
                "a valid label key {QUALIFIED} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        found.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        found.push("name part must be no more than 63 bytes".to_owned());
    }
    if !is_qualified(name) {
        found.push(format!("name part {QUALIFIED}"));
    }
    found
}

/// Values of labels and selectors.
#[must_use]
pub fn label_value(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if text.len() > 63 {
        found.push("must be no more than 63 bytes".to_owned());
    }
    if !text.is_empty() && !is_qualified(text) {
        found.push(LABEL_VALUE.to_owned());
    }
    found
}

/// Keys of ConfigMaps and Secrets.
#[must_use]
pub fn config_key(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if text.len() > 253 {
        found.push("must be no more than 253 characters".to_owned());
    }
    if text.is_empty()
        || !text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
    {
        found.push(CONFIG_KEY.to_owned());
    }
    if text == "." {
        found.push("must not be '.'".to_owned());
    } else if text == ".." {
        found.push("must not be '..'".to_owned());
    } else if text.starts_with("..") {
        found.push("must not start with '..'".to_owned());
    }
    found
}

/// Names and prefixes of environment variables: anything printable in ASCII but `=`.
#[must_use]
pub fn env_name(text: &str) -> Vec<String> {
    if text.is_empty()
        || !text
            .bytes()
            .all(|byte| matches!(byte, b' '..=b'~') && byte != b'=')
    {
        vec![ENV_NAME.to_owned()]
    } else {
        Vec::new()
    }
}

/// Names of container ports.
#[must_use]
pub fn port_name(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut check = |broken: bool, message: &str| {
        if broken {
            found.push(message.to_owned());
        }
    };
    check(text.len() > 15, "must be no more than 15 characters");
    check(
        text.is_empty()
            || !text
                .bytes()
                .all(|byte| lower_or_digit(byte) || byte == b'-'),
        "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
    );
    check(
        !text.bytes().any(|byte| byte.is_ascii_lowercase()),
        "must contain at least one letter (a-z)",
    );
    check(text.contains("--"), "must not contain consecutive hyphens");
    check(
        text.starts_with('-') || text.ends_with('-'),
        "must not begin or end with a hyphen",
    );
    found
}

/// Names of HTTP headers of probes and hooks.
#[must_use]
pub fn http_header(text: &str) -> Vec<String> {
    if text.is_empty()
        || !text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    {
        vec![HTTP_HEADER.to_owned()]
    } else {
        Vec::new()
    }
}

/// Numbers of ports.
#[must_use]
pub fn port_number(port: i32) -> Vec<String> {
    if (1..=65535).contains(&port) {
        Vec::new()
    } else {
        vec!["must be between 1 and 65535, inclusive".to_owned()]
    }
}

/// Kernel parameters, with dots or slashes between the parts.
#[must_use]
pub fn is_sysctl(text: &str) -> bool {
    text.len() <= 253
        && text.split(['.', '/']).all(|part| {
            framed(part, lower_or_digit, |byte| {
                lower_or_digit(byte) || b"-_".contains(&byte)
            })
        })
}

/// IP addresses, in the strict reading of Kubernetes 1.36.
#[must_use]
pub fn ip_address(text: &str) -> Vec<String> {
    use std::net::{IpAddr, Ipv4Addr};
    let strict = |text: &str| text.parse::<IpAddr>().ok();
    if let Some(address) = strict(text) {
        let mapped = matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some());
        return if mapped {
            vec!["must not be an IPv4-mapped IPv6 address".to_owned()]
        } else {
            Vec::new()
        };
    }
    let without_zeros: Vec<&str> = text
        .split('.')
        .map(|part| match part.trim_start_matches('0') {
            "" if !part.is_empty() => "0",
            rest => rest,
        })
        .collect();
    if without_zeros.join(".").parse::<Ipv4Addr>().is_ok() {
        return vec!["must not have leading 0s".to_owned()];
    }
    vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()]
}

/// The characters the API server uses for random suffixes: no vowels, so that no words arise.
const SUFFIX: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// `25%`
#[must_use]
pub fn is_percent(text: &str) -> bool {
    text.strip_suffix('%').is_some_and(|digits| {
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Five characters for the end of a `generateName`, from a random number that the caller brings.
#[must_use]
pub fn name_suffix(mut random: u64) -> String {
    (0..5)
        .map(|_| {
            let base = SUFFIX.len() as u64;
            let digit = usize::try_from(random % base).unwrap_or(0);
            random /= base;
            char::from(SUFFIX[digit])
        })
        .collect()
}

/// A prefix and five characters; the prefix is cut so that both fit into a label.
#[must_use]
pub fn generated(prefix: &str, suffix: &str) -> String {
    let kept: String = prefix.chars().take(63 - 5).collect();
    format!("{kept}{suffix}")
}

/// `text` in the letters of generated names, character by character. They hold no vowels, so that no word comes out.
#[must_use]
pub fn safe_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| char::from(SUFFIX[usize::from(byte) % SUFFIX.len()]))
        .collect()
}

/// How a pod is named in logs and events: `name_namespace(uid)`.
#[must_use]
pub fn pod_key(name: &str, namespace: &str, uid: &str) -> String {
    format!("{name}_{namespace}({uid})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(check: fn(&str) -> Vec<String>, yes: &[&str], no: &[&str]) {
        for text in yes {
            assert_eq!(check(text), Vec::<String>::new(), "{text:?}");
        }
        for text in no {
            assert_ne!(check(text), Vec::<String>::new(), "{text:?}");
        }
    }

    #[test]
    fn what_each_rule_accepts() {
        let long = "a".repeat(64);
        accepted(
            dns_label,
            &["a", "my-name", "0"],
            &["", "A", "-a", "a-", "a.b", &long],
        );
        accepted(
            dns_subdomain,
            &["a.b", "web-1", &long],
            &["web-", "a..b", "Web", "", ".a"],
        );
        accepted(
            dns_subdomain_prefix,
            &["web-", "web", "web-a-"],
            &["Web-", "-"],
        );
        accepted(
            qualified_name,
            &["app", "example.com/App_1"],
            &["a b", "/a", "Ex.com/a", "a/b/c", "", &long],
        );
        accepted(label_value, &["", "a.b_c"], &["a b", "-a", &long]);
        accepted(
            config_key,
            &["a", "tls.crt", ".x"],
            &["", "a b", "..", ".", "..a"],
        );
        accepted(env_name, &["A", "my var", "1.x:y"], &["", "A=B", "Ä"]);
        accepted(
            port_name,
            &["http", "a1"],
            &["", "80", "HTTP", "a--b", "-a", "a-very-long-name"],
        );
        accepted(search_domain, &[".", "a.b.", "_x.y"], &["a b", "A"]);
        accepted(
            ip_address,
            &["1.2.3.4", "::1"],
            &["010.0.0.1", "::ffff:1.2.3.4", "localhost", ""],
        );
        assert_eq!(ip_address("010.0.0.1"), ["must not have leading 0s"]);
        assert_eq!(dns_label("a.b"), ["must not contain dots"]);
    }

    #[test]
    fn suffixes_use_the_alphabet_of_the_api_server() {
        assert_eq!(name_suffix(0), "bbbbb");
        assert_eq!(name_suffix(u64::MAX).len(), 5);
    }
}
