//! What a command does to files and whom it talks to, for the programs that init containers are made of.
//!
//! A program that is not listed here may do anything; [`Effects::is_closed`] says whether that is all there is. So a rule that
//! needs to know everything a container writes asks for closed programs only, and one that needs a single write takes it.

use crate::shell::Operator;
use crate::trace::{Arg, Run, UNKNOWN, absolute};

/// What one command does.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Effects {
    pub(crate) writes: Vec<Write>,
    /// Files whose permissions are opened or whose owner is changed, so that other users may use them; `None` for any file.
    pub(crate) shares: bool,
    /// Whether it does nothing to files but what is listed.
    pub(crate) is_closed: bool,
    /// Needs an answer from the network.
    pub(crate) asks_network: bool,
}

/// One file or directory that is made or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) path: Place,
    pub(crate) how: How,
    /// It is an error when it cannot be written, and that error ends the command.
    pub(crate) fails: bool,
    /// Readable by its owner alone.
    pub(crate) is_private: bool,
}

/// An absolute path, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The whole path, or the directory up to which it is known.
    pub(crate) path: String,
    pub(crate) is_exact: bool,
}

/// What is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// A file with this path.
    File,
    /// A directory.
    Directory,
    /// A file with this path, or one of this name in it if it is a directory.
    FileOrInto(String),
    /// Anything below it.
    Tree,
    /// Only permissions or owner of what is there.
    Mode,
}

/// Programs that write no files but what their redirections say.
const HARMLESS: &[&str] = &[
    "",
    "[",
    "test",
    ":",
    "true",
    "false",
    "echo",
    "printf",
    "sleep",
    "exit",
    "return",
    "break",
    "continue",
    "date",
    "hostname",
    "id",
    "whoami",
    "uname",
    "nproc",
    "ls",
    "cat",
    "grep",
    "egrep",
    "fgrep",
    "head",
    "tail",
    "wc",
    "cut",
    "tr",
    "sort",
    "uniq",
    "seq",
    "basename",
    "dirname",
    "readlink",
    "realpath",
    "pwd",
    "printenv",
    "read",
    "set",
    "export",
    "local",
    "readonly",
    "declare",
    "typeset",
    "unset",
    "shift",
    "trap",
    "wait",
    "kill",
    "umask",
    "cd",
    "stat",
    "df",
    "du",
    "diff",
    "cmp",
    "md5sum",
    "sha1sum",
    "sha256sum",
    "base64",
    "env",
    "envsubst",
    "command",
    "type",
    "which",
    "expr",
    "let",
    "ulimit",
    "usleep",
    "sync",
    "rm",
    "rmdir",
    "ps",
    "pgrep",
    "free",
    "uptime",
    "jq",
    "xxd",
    "od",
    "rev",
    "tac",
    "nl",
    "fold",
    "column",
    "stty",
    "tty",
    "getent",
    "exec",
    "hash",
    "alias",
    "getopts",
    "times",
    "openssl-version",
];
/// Programs that talk to others and write nothing.
const ASKERS: &[&str] = &[
    "nc",
    "ncat",
    "telnet",
    "ping",
    "ping6",
    "nslookup",
    "dig",
    "host",
    "pg_isready",
    "psql",
    "mysql",
    "mysqladmin",
    "mariadb",
    "mariadb-admin",
    "redis-cli",
    "mongosh",
    "mongo",
    "grpc_health_probe",
    "grpcurl",
    "mongosh",
    "kafka-topics.sh",
];
/// Directories of the kernel and of the sandbox; what is written there is not in the container's own files.
const SPECIAL: &[&str] = &["/dev", "/proc", "/sys"];
/// Files of the pod that every container has, writable and shared.
const POD_FILES: &[&str] = &["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];

/// What `run` does.
pub(crate) fn effects(run: &Run) -> Effects {
    let mut effects = Effects::default();
    let program = run.program();
    let arguments = run.arguments();
    let fails = !run.context.is_condition;
    let mut write = |arg: &Arg, how: How, is_private: bool| {
        if let Some(path) = place(arg, run.directory.as_deref()) {
            let is_special = SPECIAL.iter().any(|special| is_within(&path.path, special))
                || POD_FILES.contains(&path.path.as_str());
            if !is_special {
                effects.writes.push(Write {
                    path,
                    how,
                    fails,
                    is_private,
                });
            }
        }
    };
    for (_, operator, target) in &run.redirects {
        if matches!(
            operator,
            Operator::Write | Operator::Append | Operator::ReadWrite
        ) {
            write(target, How::File, false);
        }
    }
    let options = Options { arguments };
    let plain = options.plain(program);
    let mut is_closed = true;
    let mut asks_network = false;
    let mut shares = false;
    match program {
        "tee" | "touch" | "truncate" => {
            for path in plain {
                write(path, How::File, false);
            }
        }
        "mkdir" => {
            for path in plain {
                // `-p` is content with what is there.
                write(path, How::Directory, false);
            }
        }
        "cp" | "mv" | "ln" | "install" | "rsync" => {
            let is_tree = options.has("rRadv", &["--recursive", "--archive"]) && program != "ln"
                || program == "rsync";
            let target = options.value("t", "--target-directory");
            let makes_directories = program == "install" && options.has("d", &["--directory"]);
            shares = program == "install";
            if makes_directories {
                for path in plain {
                    write(path, How::Directory, false);
                }
            } else if let Some(directory) = target {
                write(&directory, How::Tree, false);
            } else if let Some((last, sources)) = plain.split_last() {
                let how = match sources {
                    [source] if !is_tree && !last.0.ends_with('/') && program != "mv" => {
                        How::FileOrInto(name_of(source))
                    }
                    [source] if !is_tree && source.exact().is_some() && program != "mv" => {
                        let joined = Arg(format!("{}{}", last.0, name_of(source)));
                        write(&joined, How::File, false);
                        How::Mode
                    }
                    _ => How::Tree,
                };
                write(last, how, false);
            }
        }
        "wget" => {
            asks_network = true;
            let file = options.value("O", "--output-document");
            let directory = options.value("P", "--directory-prefix");
            if let Some(file) = file {
                if file.0 != "-" {
                    write(&file, How::File, false);
                }
            } else if let Some(directory) = directory {
                write(&directory, How::Tree, false);
            } else if !options.has("", &["--spider"]) {
                write(&Arg(".".to_owned()), How::Tree, false);
            }
        }
        "curl" => {
            asks_network = true;
            if let Some(file) = options.value("o", "--output") {
                if file.0 != "-" {
                    write(&file, How::File, false);
                }
            } else if let Some(directory) = options.value("", "--output-dir") {
                write(&directory, How::Tree, false);
            } else if options.has("OJ", &["--remote-name"]) {
                write(&Arg(".".to_owned()), How::Tree, false);
            }
        }
        "git" => {
            asks_network = true;
            match plain.as_slice() {
                [verb, _, directory, ..] if verb.0 == "clone" => write(directory, How::Tree, false),
                _ => is_closed = false,
            }
        }
        "tar" => {
            let first = arguments
                .first()
                .map(|arg| arg.0.as_str())
                .unwrap_or_default();
            let extracts =
                options.has("x", &["--extract"]) || !first.starts_with('-') && first.contains('x');
            let directory = options.value("C", "--directory");
            if extracts {
                let directory = directory.unwrap_or_else(|| Arg(".".to_owned()));
                write(&directory, How::Tree, false);
            } else {
                is_closed = false;
            }
        }
        // `-l`, `-p`, `-t` and `-z` only show.
        "unzip" if !options.has("lptz", &[]) => {
            let directory = options.value("d", "");
            let directory = directory.unwrap_or_else(|| Arg(".".to_owned()));
            write(&directory, How::Tree, false);
        }
        "sed" => {
            if options.has("i", &["--in-place"]) {
                for path in plain.iter().skip(1) {
                    write(path, How::File, false);
                }
            }
        }
        "dd" => {
            for argument in arguments {
                if let Some(path) = argument.0.strip_prefix("of=") {
                    write(&Arg(path.to_owned()), How::File, false);
                }
            }
        }
        "chmod" | "chown" | "chgrp" | "setfacl" => {
            let mode = plain
                .first()
                .map(|mode| mode.0.as_str())
                .unwrap_or_default();
            let is_private = program == "chmod" && is_private_mode(mode);
            shares = !is_private;
            for path in plain.iter().skip(1) {
                write(path, How::Mode, is_private);
            }
        }
        "openssl" => {
            for option in ["-out", "-keyout"] {
                if let Some(path) = options.after(option) {
                    // openssl keeps keys to their owner.
                    let verb = plain
                        .first()
                        .map(|verb| verb.0.as_str())
                        .unwrap_or_default();
                    let is_key = option == "-keyout" || matches!(verb, "genrsa" | "genpkey");
                    write(path, How::File, is_key);
                }
            }
        }
        "ssh-keygen" => {
            if let Some(path) = options.after("-f") {
                write(path, How::File, true);
            }
        }
        "awk" | "gawk" | "mawk" => {
            is_closed = !arguments.iter().any(|argument| argument.0.contains('>'));
        }
        "find" => {
            is_closed = !arguments
                .iter()
                .any(|argument| argument.0.starts_with("-exec") || argument.0 == "-ok");
        }
        "unzip" => {}
        program if ASKERS.contains(&program) => asks_network = true,
        program => is_closed = HARMLESS.contains(&program) && is_known(run),
    }
    effects.is_closed = is_closed;
    effects.asks_network = asks_network;
    effects.shares = shares;
    effects
}

/// A command without a name is only redirections; one with a name that is not known may be anything.
fn is_known(run: &Run) -> bool {
    run.argv.first().is_none_or(|name| name.exact().is_some())
}

/// Whether a mode leaves nothing to group and others.
fn is_private_mode(mode: &str) -> bool {
    let digits = mode.trim_start_matches('0');
    let is_octal = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    (is_octal && digits.len() == 3 && digits.ends_with("00"))
        || matches!(mode, "go-rwx" | "go=" | "og-rwx" | "u=rw,go=" | "u=rwx,go=")
}

/// The last component of a path.
fn name_of(path: &Arg) -> String {
    let path = path.0.trim_end_matches('/');
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

/// Where an argument points, if that is known at least in part.
fn place(arg: &Arg, directory: Option<&str>) -> Option<Place> {
    if let Some(path) = arg.exact() {
        if path.is_empty() {
            return None;
        }
        return Some(Place {
            path: absolute(path, directory)?,
            is_exact: true,
        });
    }
    // The name is only known up to a point; the directories in front of that point are.
    let (known, _) = arg.known_start().rsplit_once('/')?;
    let known = if known.is_empty() { "/" } else { known };
    Some(Place {
        path: absolute(known, directory)?,
        is_exact: false,
    })
}

/// Whether `path` is `directory` or below it.
pub(crate) fn is_within(path: &str, directory: &str) -> bool {
    match path.strip_prefix(directory.trim_end_matches('/')) {
        Some(rest) => rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

struct Options<'a> {
    arguments: &'a [Arg],
}

impl<'a> Options<'a> {
    /// Whether one of the letters, or of the long names, is among the options.
    fn has(&self, letters: &str, names: &[&str]) -> bool {
        self.arguments.iter().any(|argument| {
            let text = argument.known_start();
            match text.strip_prefix('-') {
                Some(short) if !short.starts_with('-') => {
                    short.chars().any(|letter| letters.contains(letter))
                }
                _ => names.iter().any(|name| {
                    text.strip_prefix(name)
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
                }),
            }
        })
    }

    /// The value of `-o VALUE`, `-qoVALUE`, `--output VALUE`, `--output=VALUE`.
    fn value(&self, letter: &str, name: &str) -> Option<Arg> {
        let mut arguments = self.arguments.iter();
        while let Some(argument) = arguments.next() {
            let text = argument.0.as_str();
            if text == name {
                return arguments.next().cloned();
            }
            let long = text
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix('='));
            let short = text
                .strip_prefix('-')
                .filter(|short| !letter.is_empty() && !short.starts_with('-'))
                .and_then(|short| short.split_once(letter));
            match (long, short) {
                (Some(value), _) if !name.is_empty() => return Some(Arg(value.to_owned())),
                (_, Some((_, ""))) => return arguments.next().cloned(),
                (_, Some((_, value))) => return Some(Arg(value.to_owned())),
                _ => {}
            }
        }
        None
    }

    /// The argument after this one.
    fn after(&self, option: &str) -> Option<&'a Arg> {
        let at = self
            .arguments
            .iter()
            .position(|argument| argument.0 == option)?;
        self.arguments.get(at + 1)
    }

    /// The arguments that are neither options nor the values of options.
    fn plain(&self, program: &str) -> Vec<&'a Arg> {
        let with_value: &[&str] = match program {
            "mkdir" | "install" => &["-m", "-o", "-g", "--mode"],
            "truncate" => &["-s"],
            "touch" => &["-t", "-d", "-r"],
            "git" => &[
                "-b", "--branch", "--depth", "-c", "-C", "--config", "-o", "--origin",
            ],
            "sed" => &["-e", "-f"],
            _ => &[],
        };
        let mut plain = Vec::new();
        let mut skip = false;
        for argument in self.arguments {
            let text = argument.0.as_str();
            if std::mem::take(&mut skip) {
                continue;
            }
            if text.len() > 1 && text.starts_with('-') {
                skip = with_value.contains(&text);
            } else {
                plain.push(argument);
            }
        }
        plain
    }
}

/// Whether the text names `path`, or something below it.
pub(crate) fn mentions(text: &str, path: &str) -> bool {
    let path = path.trim_end_matches('/');
    if path.is_empty() {
        return false;
    }
    let is_name = |c: char| c.is_alphanumeric() || "_-.".contains(c) || c == UNKNOWN;
    text.match_indices(path).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + path.len()..].chars().next();
        before.is_none_or(|c| !is_name(c) && c != '/') && after.is_none_or(|c| !is_name(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Environment, follow};

    fn of(script: &str) -> Vec<Effects> {
        let argv = ["sh", "-c", script].map(|word| Arg(word.to_owned()));
        let environment = Environment {
            directory: Some("/w".to_owned()),
            ..Environment::default()
        };
        let trace = follow(&argv, &environment).expect("readable");
        trace.runs.iter().map(effects).collect()
    }

    fn writes(script: &str) -> Vec<String> {
        let all = of(script);
        let writes = all.iter().flat_map(|effects| &effects.writes);
        writes
            .map(|write| {
                let exact = if write.path.is_exact { "" } else { "…" };
                let how = match &write.how {
                    How::File => "",
                    How::Directory => " (directory)",
                    How::FileOrInto(_) => " (copy)",
                    How::Tree => " (tree)",
                    How::Mode => " (mode)",
                };
                let private = if write.is_private { " private" } else { "" };
                format!("{}{exact}{how}{private}", write.path.path)
            })
            .collect()
    }

    #[test]
    fn what_is_written() {
        for (script, expected) in [
            ("echo a > /x/y", &["/x/y"] as &[&str]),
            ("echo a >> y 2>/dev/null", &["/w/y"]),
            ("cat > /x/$A/y <<END\nEND", &["/x…"]),
            ("a | tee -a /x /y", &["/x", "/y"]),
            ("mkdir -p -m 700 /x", &["/x (directory)"]),
            ("cp /a /b", &["/b (copy)"]),
            ("cp /a/c /b/", &["/b/c", "/b (mode)"]),
            ("cp -r /a/. /b", &["/b (tree)"]),
            ("mv /a /c /b", &["/b (tree)"]),
            ("wget -q -O /x/f http://a", &["/x/f"]),
            ("wget -qO- http://a", &[]),
            ("wget -O - http://a", &[]),
            ("curl -fsSLo /x http://a", &["/x"]),
            ("curl http://a", &[]),
            ("git clone --depth 1 http://a /x", &["/x (tree)"]),
            ("tar -xzf /a -C /b", &["/b (tree)"]),
            ("sed -i s/a/b/ /x", &["/x"]),
            ("chmod 0600 /x", &["/x (mode) private"]),
            ("chmod 644 /x", &["/x (mode)"]),
            ("openssl req -keyout /k -out /c", &["/c", "/k private"]),
            ("echo > /proc/sys/x; echo a >> /etc/hosts", &[]),
            ("{ a; b; } > /x", &["/x"]),
        ] {
            assert_eq!(writes(script), expected, "{script}");
        }
    }

    #[test]
    fn a_program_that_is_not_known_may_do_anything() {
        let closed = |script: &str| of(script).iter().all(|effects| effects.is_closed);
        assert!(closed("cat /a | sed s/x/y/ > /b; mkdir /c"));
        for script in [
            "./run.sh",
            "$CMD",
            "python -c x",
            "awk '{ print > \"f\" }'",
            "find . -exec rm {} +",
        ] {
            assert!(!closed(script), "{script}");
        }
    }

    #[test]
    fn a_path_is_mentioned_as_a_whole() {
        assert!(mentions("root /etc/nginx/html;", "/etc/nginx/html"));
        assert!(mentions("/data/a", "/data"));
        assert!(mentions("--dir=/data", "/data"));
        assert!(!mentions("/database", "/data"));
        assert!(!mentions("/my/data", "/data"));
        assert!(!mentions("/", "/"));
    }
}
