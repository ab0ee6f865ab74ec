//! The program of a sandbox: holds its namespaces by existing, and reaps when it is pid 1.
//!
//! An ELF file of a few hundred bytes, put together here and written into the sandbox's own root. A sandbox lives as long as its pod and
//! does nothing, so it should cost nothing either: no loader, no libraries, no heap, and nothing of the host's in
//! `/proc/<pid>/exe` or in its memory.
#![expect(
    unsafe_code,
    reason = "a program without a language runtime is machine code"
)]

use std::arch::global_asm;

/// Where it is in the sandbox's root directory, and what it calls itself, as in Kubernetes.
pub(super) const NAME: &std::ffi::CStr = c"pause";

/// Where the kernel maps the whole file. Any address would do.
const ADDRESS: u64 = 0x40_0000;
/// Of the largest pages that a kernel may have.
const ALIGNMENT: u64 = 0x1_0000;
const HEADER: u64 = 64;
const PROGRAM_HEADER: u64 = 56;

// What it does, with every signal blocked by whoever executes it:
//
//     prctl(PR_SET_NAME, "pause"); prctl(PR_SET_DUMPABLE, 0)
//     loop { match rt_sigtimedwait(all signals) { SIGTERM | SIGINT => exit_group(0), SIGCHLD => while wait4(-1, WNOHANG) > 0 {} } }
//
// The name is set since kernels before 6.14 name a process that was executed by descriptor after the descriptor's number. Not dumpable:
// not even root of the pod can look into it over a shared pid namespace.
#[cfg(target_arch = "x86_64")]
global_asm!(
    ".pushsection .rodata.podyard_pause, \"a\", @progbits",
    ".balign 16",
    "podyard_pause_begin:",
    "mov eax, 157",
    "mov edi, 15",
    "lea rsi, [rip + 8f]",
    "xor edx, edx",
    "syscall",
    "mov eax, 157",
    "mov edi, 4",
    "xor esi, esi",
    "syscall",
    "2:",
    "mov eax, 128",
    "lea rdi, [rip + 9f]",
    "xor esi, esi",
    "xor edx, edx",
    "mov r10d, 8",
    "syscall",
    "cmp eax, 17",
    "je 3f",
    "cmp eax, 15",
    "je 4f",
    "cmp eax, 2",
    "jne 2b",
    "4:",
    "mov eax, 231",
    "xor edi, edi",
    "syscall",
    "3:",
    "mov eax, 61",
    "mov edi, -1",
    "xor esi, esi",
    "mov edx, 1",
    "xor r10d, r10d",
    "syscall",
    "test eax, eax",
    "jg 3b",
    "jmp 2b",
    "8:",
    ".asciz \"pause\"",
    ".balign 8",
    "9:",
    ".quad -1",
    "podyard_pause_end:",
    ".popsection",
);

#[cfg(target_arch = "aarch64")]
global_asm!(
    ".pushsection .rodata.podyard_pause, \"a\", @progbits",
    ".balign 16",
    "podyard_pause_begin:",
    "mov x8, #167",
    "mov x0, #15",
    "adr x1, 8f",
    "mov x2, #0",
    "svc #0",
    "mov x8, #167",
    "mov x0, #4",
    "mov x1, #0",
    "svc #0",
    "2:",
    "mov x8, #137",
    "adr x0, 9f",
    "mov x1, #0",
    "mov x2, #0",
    "mov x3, #8",
    "svc #0",
    "cmp w0, #17",
    "b.eq 3f",
    "cmp w0, #15",
    "b.eq 4f",
    "cmp w0, #2",
    "b.ne 2b",
    "4:",
    "mov x8, #94",
    "mov x0, #0",
    "svc #0",
    "3:",
    "mov x8, #260",
    "mov x0, #-1",
    "mov x1, #0",
    "mov x2, #1",
    "mov x3, #0",
    "svc #0",
    "cmp w0, #0",
    "b.gt 3b",
    "b 2b",
    "8:",
    ".asciz \"pause\"",
    ".balign 8",
    "9:",
    ".quad -1",
    "podyard_pause_end:",
    ".popsection",
);

/// `EM_X86_64`, `EM_AARCH64`.
const MACHINE: u16 = if cfg!(target_arch = "x86_64") {
    62
} else {
    183
};

fn code() -> &'static [u8] {
    unsafe extern "C" {
        #[link_name = "podyard_pause_begin"]
        static BEGIN: u8;
        #[link_name = "podyard_pause_end"]
        static END: u8;
    }
    let (begin, end) = (&raw const BEGIN, &raw const END);
    // SAFETY: both are in one section of this program, the first before the second, and nothing but the bytes above is between them.
    unsafe { std::slice::from_raw_parts(begin, end.addr() - begin.addr()) }
}

/// The whole file: an ELF header, one segment with everything, and the wish for a stack without code (elf(5)).
pub(super) fn program() -> Vec<u8> {
    let begin = HEADER + 2 * PROGRAM_HEADER;
    let length = begin + code().len() as u64;
    let mut file = Vec::with_capacity(512);
    // 64 bits, little-endian, version 1, System V.
    file.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    // An executable (2).
    file.extend([2_u16, MACHINE].map(u16::to_le_bytes).as_flattened());
    file.extend(1_u32.to_le_bytes());
    // The entry, the program headers, no section headers.
    file.extend(
        [ADDRESS + begin, HEADER, 0]
            .map(u64::to_le_bytes)
            .as_flattened(),
    );
    file.extend(0_u32.to_le_bytes());
    let sizes = [HEADER as u16, PROGRAM_HEADER as u16, 2, 0, 0, 0];
    file.extend(sizes.map(u16::to_le_bytes).as_flattened());
    // PT_LOAD to be read and executed; PT_GNU_STACK to be read and written.
    let segments = [
        ([1_u32, 5], [0, ADDRESS, ADDRESS, length, length, ALIGNMENT]),
        ([0x6474_e551, 6], [0, 0, 0, 0, 0, 16]),
    ];
    for (kind_and_flags, places) in segments {
        file.extend(kind_and_flags.map(u32::to_le_bytes).as_flattened());
        file.extend(places.map(u64::to_le_bytes).as_flattened());
    }
    file.extend(code());
    file
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Command;

    #[test]
    fn it_runs_until_it_is_told_to_end() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("pause");
        let mut options = std::fs::File::options();
        let options = options.write(true).create_new(true).mode(0o700);
        let mut file = options.open(&path).expect("a file");
        file.write_all(&super::program())
            .expect("it can be written");
        drop(file);
        // Without its signals blocked, as it is here, SIGTERM ends it all the same, only otherwise.
        let mut child = Command::new(&path).spawn().expect("it can be executed");
        let pid = i32::try_from(child.id()).expect("a process id");
        let comm = format!("/proc/{pid}/comm");
        while std::fs::read_to_string(&comm).expect("it runs") != "pause\n" {}
        let process = rustix::process::Pid::from_raw(pid).expect("a process id");
        rustix::process::kill_process(process, rustix::process::Signal::TERM).expect("it is ours");
        let status = child.wait().expect("it is our child");
        assert!(
            status.code() == Some(0) || status.signal() == Some(libc::SIGTERM),
            "{status}"
        );
    }
}
