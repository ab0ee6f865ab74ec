//! What a pod may ask about the machine that it runs on, read once by the supervisor.

/// The machine, as a node of Kubernetes would describe itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Machine {
    /// Its name as it has it, while a node's name is in lower case.
    pub(crate) hostname: String,
    pub(crate) memory_bytes: u64,
    pub(crate) cpus: u64,
    /// Of the file system that pods write to.
    pub(crate) disk_bytes: u64,
    /// Sizes of huge pages that it can give, in bytes.
    pub(crate) huge_page_bytes: Vec<u64>,
    pub(crate) modules: Modules,
}

/// Which of the kernel's security modules run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Modules {
    pub(crate) apparmor: bool,
    pub(crate) selinux: bool,
}

/// The memory in bytes, out of the text of `/proc/meminfo`.
pub(crate) fn memory(meminfo: &str) -> u64 {
    let kibibytes = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_ascii_whitespace().next())
        .and_then(|number| number.parse::<u64>().ok());
    kibibytes.unwrap_or_default() * 1024
}

/// The size in bytes out of the name of a directory below `/sys/kernel/mm/hugepages`.
pub(crate) fn huge_page_size(name: &str) -> Option<u64> {
    let kibibytes = name.strip_prefix("hugepages-")?.strip_suffix("kB")?;
    kibibytes.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_kernel_are_read() {
        assert_eq!(
            memory("MemTotal:       24684084 kB\nMemFree: 1 kB\n"),
            24_684_084 * 1024
        );
        assert_eq!(memory(""), 0);
        assert_eq!(huge_page_size("hugepages-2048kB"), Some(2 << 20));
        assert_eq!(huge_page_size("hugepages-1048576kB"), Some(1 << 30));
        assert_eq!(huge_page_size("other"), None);
    }
}
