//! What `RuntimeDefault` means: the rules of containerd's CRI plugin (`contrib/seccomp/seccomp_default.go` of
//! containerd 2, with its change 13327 of 2026), computed from the capabilities of the process.
//!
//! Where it is stricter than its model: containerd allows sockets of families above `AF_VSOCK`, compared in 64 bits,
//! while the kernel looks at 32 of them, so that a program gets any family by setting a bit it does not look at. Here
//! that is refused.
//!
//! What neither can close: 32-bit x86 programs reach every family through `socketcall`, whose arguments lie in memory,
//! where no filter looks. Refusing it would break old 32-bit programs and those written in Go.

use std::borrow::Cow;
use std::slice;

use super::architecture::Architecture;
use super::profile::{Action, Argument, Comparison, Condition, KnownProfile, KnownRule};
use super::tables::{Call, calls_named};
use crate::CapabilitySet;

/// Allowed to everybody. Notably absent: `io_uring_*`, `userfaultfd`, `keyctl` and its kin, `kexec_*`, `pivot_root`.
///
/// `ptrace` and `process_vm_*` are among them because before Linux 4.8 a tracer could change a call after the filter
/// had seen it; podyard needs a newer kernel.
const ALWAYS: &[Call] = calls_named!(
    "\
    accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32 \
    clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 \
    clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 \
    dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait \
    epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 \
    fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat \
    fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 \
    fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 \
    futex_wait futex_waitv futex_wake futimesat getcpu getcwd getdents getdents64 getegid getegid32 \
    geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp \
    getpid getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit \
    get_robust_list getrusage getsid getsockname getsockopt get_thread_area gettid gettimeofday \
    getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 \
    inotify_rm_watch io_cancel ioctl io_destroy io_getevents io_pgetevents io_pgetevents_time64 \
    ioprio_get ioprio_set io_setup io_submit ipc kill landlock_add_rule landlock_create_ruleset \
    landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listmount listxattr \
    listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lsm_get_self_attr lsm_list_modules \
    lsm_set_self_attr lstat lstat64 madvise map_shadow_stack membarrier memfd_create memfd_secret \
    mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr \
    mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 \
    mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap \
    name_to_handle_at nanosleep newfstatat _newselect open openat openat2 pause pidfd_open \
    pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl \
    pread64 preadv preadv2 prlimit64 process_mrelease process_vm_readv process_vm_writev pselect6 \
    pselect6_time64 ptrace pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recv \
    recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename \
    renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask \
    rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 \
    rt_tgsigqueueinfo sched_getaffinity sched_getattr sched_getparam sched_get_priority_max \
    sched_get_priority_min sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 \
    sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select \
    semctl semget semop semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg \
    sendto setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer \
    setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid \
    setreuid32 setrlimit set_robust_list setsid setsockopt set_thread_area set_tid_address setuid \
    setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 \
    sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64 statmount statx \
    symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete \
    timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create \
    timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate \
    truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat utimensat_time64 \
    utimes vfork vmsplice wait4 waitid waitpid write writev"
);

/// Allowed on x86 machines.
const ON_X86: &[Call] = calls_named!("arch_prctl modify_ldt");

/// Allowed on ARM machines.
const ON_ARM: &[Call] = calls_named!(
    "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls"
);

/// Allowed to whoever has the capability: the kernel asks for it anyway, or lets others do less with the call.
const WITH_CAPABILITY: &[(&str, &[Call])] = &[
    ("DAC_READ_SEARCH", calls_named!("open_by_handle_at")),
    (
        "SYS_ADMIN",
        calls_named!(
            "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount \
             mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname \
             sethostname setns syslog umount umount2 unshare"
        ),
    ),
    ("SYS_BOOT", calls_named!("reboot")),
    ("SYS_CHROOT", calls_named!("chroot")),
    (
        "SYS_MODULE",
        calls_named!("delete_module init_module finit_module"),
    ),
    ("SYS_PACCT", calls_named!("acct")),
    (
        "SYS_PTRACE",
        calls_named!("kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"),
    ),
    ("SYS_RAWIO", calls_named!("iopl ioperm")),
    (
        "SYS_TIME",
        calls_named!("settimeofday stime clock_settime clock_settime64"),
    ),
    ("SYS_TTY_CONFIG", calls_named!("vhangup")),
    (
        "SYS_NICE",
        calls_named!("get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    ),
    ("SYSLOG", calls_named!("syslog")),
    ("BPF", calls_named!("bpf")),
    ("PERFMON", calls_named!("perf_event_open")),
];

/// What personality(2) may be set to: Linux and Linux of 32 bits, both also with the old kernel version number, and the
/// question what it is. Others turn off address randomization or emulate ancient systems.
static PERSONALITIES: [Condition; 5] = [
    first(Comparison::Equal(0)),
    first(Comparison::Equal(0x8)),
    first(Comparison::Equal(0x2_0000)),
    first(Comparison::Equal(0x2_0008)),
    first(Comparison::Equal(0xffff_ffff)),
];

/// `CLONE_NEW*` for mount, cgroup, UTS, IPC, user, pid and network namespaces: none of them.
static NO_NAMESPACES: Condition = first(Comparison::MaskedEqual {
    mask: 0x7e02_0000,
    value: 0,
});

/// The kernel's crypto interface. Blocked since CVE-2026-31431.
const AF_ALG: u64 = 38;
/// Sockets between virtual machine and host, which know no network namespace.
const AF_VSOCK: u64 = 40;

/// What family a socket may have, in any of these ways.
static SOCKETS: [&[Condition]; 3] = [
    &[first(Comparison::Less(AF_ALG))],
    &[first(Comparison::Equal(AF_ALG + 1))],
    // The second condition is for the bits that the kernel does not look at.
    &[
        first(Comparison::Greater(AF_VSOCK)),
        first(Comparison::LessOrEqual(u32::MAX as u64)),
    ],
];

/// The default profile for a process with this bounding set, on this kind of machine.
pub(super) fn profile(capabilities: CapabilitySet, machine: Architecture) -> KnownProfile<'static> {
    let has = |name: &str| {
        capabilities
            .iter()
            .any(|capability| capability.name() == name)
    };
    let of_machine = match machine {
        Architecture::X86_64 | Architecture::X86 | Architecture::X32 => ON_X86,
        Architecture::Aarch64 | Architecture::Arm => ON_ARM,
    };
    let mut rules = Vec::with_capacity(WITH_CAPABILITY.len() + 16);
    rules.extend([allow(ALWAYS), allow(of_machine)]);
    rules.extend(
        WITH_CAPABILITY
            .iter()
            .filter(|(capability, _)| has(capability))
            .map(|(_, calls)| allow(calls)),
    );
    rules.extend(SOCKETS.map(|conditions| allow_if(calls_named!("socket"), conditions)));
    rules.extend(
        PERSONALITIES
            .iter()
            .map(|value| allow_if(calls_named!("personality"), slice::from_ref(value))),
    );
    if !has("SYS_ADMIN") {
        let no_namespaces = slice::from_ref(&NO_NAMESPACES);
        rules.push(allow_if(calls_named!("clone"), no_namespaces));
        // Its flags lie in memory, where no filter looks. Without the call libraries fall back to `clone`.
        rules.push(KnownRule {
            action: Action::NO_SUCH_CALL,
            ..allow(calls_named!("clone3"))
        });
    }
    KnownProfile {
        default_action: Action::Errno(libc::EPERM as u16),
        architectures: machine.with_companions(),
        rules,
    }
}

const fn first(comparison: Comparison) -> Condition {
    Condition {
        argument: Argument::FIRST,
        comparison,
    }
}

const fn allow(calls: &'static [Call]) -> KnownRule<'static> {
    allow_if(calls, &[])
}

/// Allows calls when all of this holds.
const fn allow_if(calls: &'static [Call], conditions: &'static [Condition]) -> KnownRule<'static> {
    KnownRule {
        calls: Cow::Borrowed(calls),
        conditions,
        action: Action::Allow,
    }
}
