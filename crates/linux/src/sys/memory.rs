//! Giving memory back that can be had again from the program's file, or that nobody uses any more.
#![expect(unsafe_code, reason = "madvise(2) takes addresses")]

/// Gives back what this process does not need while it sleeps: free memory of the allocator, the part of the stack that is not in use, and
/// the pages of program and libraries, which are mapped again when they are next touched (from the page cache, in microseconds).
///
/// For processes of which a machine has many and that do nothing most of the time. Takes some 100 µs. Nothing that the process could notice
/// is changed.
pub fn give_back() {
    let Ok(smaps) = std::fs::read_to_string("/proc/self/smaps") else {
        return;
    };
    let clean = clean_mappings(&smaps);
    let here = std::ptr::from_ref(&clean).addr();
    let stack = unused_stack(&smaps, here);
    drop(smaps);
    // SAFETY: it only returns free memory to the kernel.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
    for (start, end) in stack.into_iter().chain(clean) {
        discard(start, end);
    }
}

fn discard(start: usize, end: usize) {
    // SAFETY: both are addresses of pages. What is there is either as the mapped file has it, by the kernel's own account, and comes from
    // there again; or it is below everything that is in use of the stack, and nobody reads it before it is written.
    unsafe {
        libc::madvise(
            std::ptr::with_exposed_provenance_mut(start),
            end - start,
            libc::MADV_DONTNEED,
        );
    }
}

/// Mappings of files that are not written to, and of which no page is this process's own copy: relocated data is.
fn clean_mappings(smaps: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut current = None;
    for line in smaps.lines() {
        if let Some(mapping) = Mapping::parse(line) {
            let is_constant = matches!(mapping.permissions, "r--p" | "r-xp");
            found.extend(current.take());
            current = (is_constant && mapping.inode != "0").then_some(mapping.range);
        }
        // Copies of pages, in memory and out of it.
        let copies = ["Anonymous:", "Swap:"].map(|name| line.strip_prefix(name));
        if copies
            .into_iter()
            .flatten()
            .any(|size| size.trim() != "0 kB")
        {
            current = None;
        }
    }
    found.extend(current);
    found
}

/// So much below a variable of [`give_back`] may be in use by what it calls then: a frame that makes one system call.
const IN_USE: usize = 8 << 10;
/// The smallest page there is; larger ones only mean that madvise refuses.
const PAGE: usize = 4096;

fn unused_stack(smaps: &str, here: usize) -> Option<(usize, usize)> {
    let stack = smaps.lines().filter_map(Mapping::parse).find(|mapping| {
        mapping.name == "[stack]" && (mapping.range.0..mapping.range.1).contains(&here)
    })?;
    let end = here.checked_sub(IN_USE)? / PAGE * PAGE;
    (end > stack.range.0).then_some((stack.range.0, end))
}

/// The first line of a mapping in `/proc/<pid>/smaps` (proc_pid_smaps(5)).
struct Mapping<'t> {
    range: (usize, usize),
    permissions: &'t str,
    inode: &'t str,
    name: &'t str,
}

impl<'t> Mapping<'t> {
    fn parse(line: &'t str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        let range = (address(start)?, address(end)?);
        let permissions = words.next()?;
        let inode = words.nth(2)?;
        Some(Self {
            range,
            permissions,
            inode,
            name: words.next().unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
00200000-004a9000 r--p 00000000 fe:00 123                                /usr/bin/podyard
Size:               2724 kB
Private_Dirty:         8 kB
Anonymous:             0 kB
Swap:                  0 kB
004a9000-00ff9000 r-xp 002a8000 fe:00 123                                /usr/bin/podyard
Anonymous:             0 kB
00ff9000-01063000 r--p 00df7000 fe:00 123                                /usr/bin/podyard
Anonymous:            24 kB
Swap:                  0 kB
01063000-01066000 rw-p 00e60000 fe:00 123                                /usr/bin/podyard
Anonymous:             0 kB
01f00000-01f80000 rw-p 00000000 00:00 0                                  [heap]
Anonymous:           300 kB
7f0000000000-7f0000010000 r--p 00000000 fe:00 124                        /usr/lib/libc.so.6
Anonymous:             0 kB
Swap:                 16 kB
7ffc00000000-7ffc00100000 rw-p 00000000 00:00 0                          [stack]
Anonymous:            88 kB
7ffc00200000-7ffc00202000 r-xp 00000000 00:00 0                          [vdso]
Anonymous:             0 kB
";

    #[test]
    fn only_what_the_file_has_as_well_is_given_back() {
        assert_eq!(
            clean_mappings(SMAPS),
            [(0x20_0000, 0x4a_9000), (0x4a_9000, 0xff_9000)]
        );
    }

    #[test]
    fn only_what_is_far_below_is_given_back_of_the_stack() {
        let here = 0x7ffc_000f_0123;
        assert_eq!(
            unused_stack(SMAPS, here),
            Some((0x7ffc_0000_0000, 0x7ffc_000e_e000))
        );
        assert_eq!(unused_stack(SMAPS, 0x7ffc_0000_1000), None);
        assert_eq!(unused_stack(SMAPS, 0x1f0_0000), None);
    }

    #[test]
    fn a_process_goes_on_after_it_has_given_back() {
        let before: Vec<String> = (0..10_000).map(|number| number.to_string()).collect();
        let resident = || {
            let status = std::fs::read_to_string("/proc/self/status").expect("status");
            let line = status.lines().find(|line| line.starts_with("RssFile:"));
            let number = line.and_then(|line| line.split_ascii_whitespace().nth(1));
            number
                .and_then(|number| number.parse::<u64>().ok())
                .expect("a number")
        };
        let had = resident();
        give_back();
        let has = resident();
        assert!(has < had, "{had} kB, {has} kB");
        assert!(
            (0..10_000)
                .zip(&before)
                .all(|(number, text)| number.to_string() == *text)
        );
    }
}
