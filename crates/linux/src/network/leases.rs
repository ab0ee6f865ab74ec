//! Which pod has which address: one file per instance, changed under a lock, replaced as a whole.
//!
//! ```text
//! <state dir>/              locked (flock) while the file is read and replaced
//! └── leases.json           the instance's subnet, and a lease per pod: address, name, host ports
//! ```
//!
//! The file is the truth: a lease is written before anything is made for it and dropped after everything is gone, so
//! whoever finds a lease knows all that may exist. Locking the directory instead of the file leaves no lock file behind
//! and survives the file's replacement. The directory is expected on a volatile file system: addresses, interfaces and
//! rules do not outlive the machine's uptime either.

use super::error::NetworkError;
use super::ports::PortMapping;
use ipnet::Ipv4Net;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const FILE: &str = "leases.json";
const TEMPORARY_FILE: &str = "leases.json.new";
const VERSION: u32 = 1;

/// What a pod has been given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lease {
    pub(super) address: Ipv4Addr,
    /// The pod's name, for people.
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) ports: Vec<PortMapping>,
}

/// The content of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Leases {
    version: u32,
    pub(super) subnet: Ipv4Net,
    /// The address that was given last. The next pod gets one behind it, so that an address rests as long as possible.
    last: Ipv4Addr,
    pub(super) pods: BTreeMap<String, Lease>,
}

impl Leases {
    pub(super) fn new(subnet: Ipv4Net) -> Self {
        Self {
            version: VERSION,
            subnet,
            last: gateway(subnet),
            pods: BTreeMap::new(),
        }
    }

    /// The address for a pod: the one it has already, or the next free one.
    pub(super) fn address_for(&mut self, pod: &str) -> Result<Ipv4Addr, NetworkError> {
        if let Some(lease) = self.pods.get(pod) {
            return Ok(lease.address);
        }
        let taken: HashSet<Ipv4Addr> = self.pods.values().map(|lease| lease.address).collect();
        let first = u32::from(self.subnet.network()) + 1;
        let end = u32::from(self.subnet.broadcast());
        let last = u32::from(self.last);
        let free = (last + 1..end)
            .chain(first..end.min(last + 1))
            .map(Ipv4Addr::from)
            .find(|address| *address != gateway(self.subnet) && !taken.contains(address))
            .ok_or(NetworkError::NoFreeAddress {
                subnet: self.subnet,
            })?;
        self.last = free;
        Ok(free)
    }
}

/// This machine's address, as pods see it: the first one of the subnet.
pub(super) fn gateway(subnet: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(subnet.network()) + 1)
}

/// The directory, locked. Whoever has this is alone with the file.
#[derive(Debug)]
pub(super) struct Store {
    directory: PathBuf,
    _lock: File,
}

impl Store {
    /// Waits until it is alone, making the directory if there is none.
    pub(super) fn lock(directory: &Path) -> Result<Self, NetworkError> {
        loop {
            fs::create_dir_all(directory).map_err(error("create", directory))?;
            if let Some(store) = Self::lock_existing(directory)? {
                return Ok(store);
            }
        }
    }

    /// Waits until it is alone, unless there is no directory.
    pub(super) fn lock_existing(directory: &Path) -> Result<Option<Self>, NetworkError> {
        let lock = match File::open(directory) {
            Ok(lock) => lock,
            Err(found) if found.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(found) => return Err(error("open", directory)(found)),
        };
        rustix::fs::flock(&lock, FlockOperation::LockExclusive)
            .map_err(|errno| error("lock", directory)(errno.into()))?;
        // The one before may have removed the directory while this one waited.
        let locked = lock.metadata().map_err(error("inspect", directory))?;
        match fs::metadata(directory) {
            Ok(current) if (current.dev(), current.ino()) == (locked.dev(), locked.ino()) => {
                Ok(Some(Self {
                    directory: directory.to_owned(),
                    _lock: lock,
                }))
            }
            Ok(_) => Self::lock_existing(directory),
            Err(found) if found.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(found) => Err(error("inspect", directory)(found)),
        }
    }

    /// The leases, if any were ever written.
    pub(super) fn read(&self) -> Result<Option<Leases>, NetworkError> {
        let path = self.directory.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(found) if found.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(found) => return Err(error("read", &path)(found)),
        };
        let leases: Leases =
            serde_json::from_slice(&text).map_err(|found| NetworkError::Leases {
                path: path.clone(),
                reason: found.to_string(),
            })?;
        if leases.version != VERSION {
            return Err(NetworkError::Leases {
                path,
                reason: format!("version {} instead of {VERSION}", leases.version),
            });
        }
        Ok(Some(leases))
    }

    /// Replaces the leases. A crash leaves either the old or the new ones.
    pub(super) fn write(&self, leases: &Leases) -> Result<(), NetworkError> {
        let temporary = self.directory.join(TEMPORARY_FILE);
        let path = self.directory.join(FILE);
        let text = serde_json::to_vec(leases).map_err(|found| NetworkError::Leases {
            path: path.clone(),
            reason: found.to_string(),
        })?;
        // No fsync: after a power failure there are no pods to have addresses.
        File::create(&temporary)
            .and_then(|mut file| file.write_all(&text))
            .map_err(error("write", &temporary))?;
        fs::rename(&temporary, &path).map_err(error("write", &path))
    }

    /// Removes the file, and the directory if there is nothing else in it.
    pub(super) fn remove(self) -> Result<(), NetworkError> {
        for name in [TEMPORARY_FILE, FILE] {
            let path = self.directory.join(name);
            match fs::remove_file(&path) {
                Err(found) if found.kind() != io::ErrorKind::NotFound => {
                    return Err(error("remove", &path)(found));
                }
                _ => {}
            }
        }
        match fs::remove_dir(&self.directory) {
            Err(found)
                if !matches!(
                    found.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty
                ) =>
            {
                Err(error("remove", &self.directory)(found))
            }
            _ => Ok(()),
        }
    }
}

fn error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> NetworkError {
    let path = path.to_owned();
    move |source| NetworkError::File {
        action,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leases(subnet: &str) -> Leases {
        Leases::new(subnet.parse().unwrap())
    }

    fn give(leases: &mut Leases, pod: &str) -> Ipv4Addr {
        let address = leases.address_for(pod).unwrap();
        leases.pods.insert(
            pod.to_owned(),
            Lease {
                address,
                name: pod.to_owned(),
                ports: Vec::new(),
            },
        );
        address
    }

    /// Every address is given once before one is given again, and never the network's, the gateway's or broadcast.
    #[test]
    fn addresses_go_round() {
        let mut leases = leases("10.0.0.0/29");
        let given: Vec<u8> = (0..5)
            .map(|pod| give(&mut leases, &pod.to_string()).octets()[3])
            .collect();
        assert_eq!(given, [2, 3, 4, 5, 6]);
        assert!(matches!(
            leases.address_for("one too many"),
            Err(NetworkError::NoFreeAddress { .. })
        ));
        leases.pods.remove("1");
        leases.pods.remove("3");
        assert_eq!(give(&mut leases, "5").octets()[3], 3);
        assert_eq!(give(&mut leases, "6").octets()[3], 5);
    }

    #[test]
    fn a_freed_address_rests() {
        let mut leases = leases("10.0.0.0/24");
        assert_eq!(give(&mut leases, "a").octets()[3], 2);
        leases.pods.remove("a");
        assert_eq!(give(&mut leases, "b").octets()[3], 3);
        assert_eq!(give(&mut leases, "b").octets()[3], 3, "the same pod");
    }
}
