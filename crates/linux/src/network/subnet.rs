//! Which subnet an instance gets when nobody says: its own slice of a private range, if nobody else has it.
//!
//! The first choice follows from the instance's name, so that a pod network usually has the same addresses again. A
//! slice that overlaps a route, an address or the subnet of another instance is passed over.

use super::error::NetworkError;
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

/// Where subnets are taken from: 10.88.0.0 to 10.95.255.255.
const RANGE: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 88, 0, 0), 13);
/// The size of a slice: 4,093 pods, and 128 slices in the range.
const SLICE_PREFIX: u8 = 20;

/// Subnets that cannot be pod networks: without room, or so large that interface names would not fit.
pub(super) fn check(subnet: Ipv4Net) -> Result<Ipv4Net, NetworkError> {
    if (12..=29).contains(&subnet.prefix_len()) {
        Ok(subnet.trunc())
    } else {
        Err(NetworkError::Subnet { subnet })
    }
}

/// The first slice, in an order that depends on the instance, that overlaps none of the networks in use.
pub(super) fn choose(instance: &str, in_use: &[Ipv4Net]) -> Result<Ipv4Net, NetworkError> {
    let range = Ipv4Net::new_assert(RANGE.0, RANGE.1);
    let slices = 1u32 << (SLICE_PREFIX - RANGE.1);
    let start = fnv1a(instance.as_bytes()) % slices;
    (0..slices)
        .map(|step| {
            let number = (start + step) % slices;
            let first = u32::from(RANGE.0) + (number << (32 - SLICE_PREFIX));
            Ipv4Net::new_assert(first.into(), SLICE_PREFIX)
        })
        .find(|slice| !in_use.iter().any(|other| overlap(slice, other)))
        .ok_or(NetworkError::NoFreeSubnet { range })
}

fn overlap(one: &Ipv4Net, other: &Ipv4Net) -> bool {
    one.contains(other) || other.contains(one)
}

/// A hash that stays the same from one version of podyard to the next (FNV-1a).
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_is_stable_and_avoids_networks_in_use() {
        let first = choose("ab12cd", &[]).unwrap();
        assert_eq!(choose("ab12cd", &[]).unwrap(), first);
        let smaller = Ipv4Net::new_assert(first.broadcast(), 32);
        let second = choose("ab12cd", &[smaller]).unwrap();
        assert_ne!(second, first);
        assert_eq!(second.prefix_len(), 20);
        assert!("10.88.0.0/13".parse::<Ipv4Net>().unwrap().contains(&second));
        assert_eq!(choose("ab12cd", &[second]).unwrap(), first);
    }

    #[test]
    fn a_range_that_is_routed_elsewhere_is_refused() {
        let all = "10.0.0.0/8".parse().unwrap();
        assert!(matches!(
            choose("ab12cd", &[all]),
            Err(NetworkError::NoFreeSubnet { .. })
        ));
    }

    #[test]
    fn subnets_have_limits() {
        assert!(check("10.0.0.0/30".parse().unwrap()).is_err());
        assert!(check("10.0.0.0/8".parse().unwrap()).is_err());
        let host_bits = "10.1.2.3/24".parse().unwrap();
        assert_eq!(check(host_bits).unwrap(), "10.1.2.0/24".parse().unwrap());
    }
}
