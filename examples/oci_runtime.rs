//! An OCI runtime: the command line that Podman, containerd and the test suites of the specification speak, in front of
//! [`plywood::oci`].
//!
//! `podman --runtime target/debug/examples/oci_runtime run …`, or by hand, as root:
//!
//! ```text
//! oci_runtime spec --bundle b      # b/config.json; put a root file system into b/rootfs
//! oci_runtime run --bundle b hello
//! ```

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use plywood::oci::{Create, Exec, Runtime, Started};
use plywood::{Error, Result, Timestamp};

#[derive(Parser)]
#[command(name = "oci_runtime", version = concat!(env!("CARGO_PKG_VERSION"), "\nspec: 1.2.0"))]
struct Command {
    /// Where the state of the containers is.
    #[arg(long, global = true, default_value = "/run/plywood-oci")]
    root: PathBuf,
    /// Errors are written to this file too.
    #[arg(long, global = true)]
    log: Option<PathBuf>,
    #[arg(long, global = true, value_enum, default_value = "text")]
    log_format: LogFormat,
    /// For the sake of callers: there is nothing more to be told.
    #[arg(long, global = true)]
    debug: bool,
    #[arg(long, global = true)]
    log_level: Option<String>,
    /// Lets systemd make cgroups, which is refused.
    #[arg(long, global = true)]
    systemd_cgroup: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    Table,
    Json,
}

#[derive(Subcommand)]
enum Verb {
    /// Make a container; its program waits for `start`.
    Create(Making),
    /// Let the program of a container begin.
    Start { id: String },
    /// Make a container, start it, and wait for its end.
    Run {
        #[command(flatten)]
        making: Making,
        /// Do not wait.
        #[arg(long, short)]
        detach: bool,
        /// Leave it there when it has ended.
        #[arg(long)]
        keep: bool,
    },
    /// Print the state of a container, as JSON.
    State { id: String },
    /// Send a signal to the first process of a container.
    Kill {
        /// To all of its processes.
        #[arg(long, short)]
        all: bool,
        id: String,
        #[arg(default_value = "SIGTERM")]
        signal: String,
    },
    /// Remove a container that has ended.
    Delete {
        /// Kill it first; one that does not exist is fine.
        #[arg(long, short)]
        force: bool,
        id: String,
    },
    /// Start a further process in a container.
    Exec(Box<Executing>),
    /// List all containers.
    List {
        #[arg(long, short, value_enum, default_value = "table")]
        format: Format,
        /// Only their ids.
        #[arg(long, short)]
        quiet: bool,
    },
    /// List the processes of a container.
    Ps {
        #[arg(long, short, value_enum, default_value = "table")]
        format: Format,
        id: String,
    },
    /// Freeze all processes of a container.
    Pause { id: String },
    /// Let them go on.
    Resume { id: String },
    /// Print what a container uses, again and again until it has ended.
    Events {
        /// Once.
        #[arg(long)]
        stats: bool,
        /// Seconds from one to the next, such as `5s`.
        #[arg(long, default_value = "5s")]
        interval: String,
        id: String,
    },
    /// Print what of the specification this runtime has.
    Features,
    /// Write a configuration to begin with.
    Spec {
        #[arg(long, short, default_value = ".")]
        bundle: PathBuf,
    },
}

#[derive(Args)]
struct Making {
    #[arg(long, short, default_value = ".")]
    bundle: PathBuf,
    /// The terminal of the container is sent there.
    #[arg(long)]
    console_socket: Option<PathBuf>,
    #[arg(long)]
    pid_file: Option<PathBuf>,
    /// How many descriptors from 3 on the program is given.
    #[arg(long, default_value_t = 0)]
    preserve_fds: u32,
    #[arg(long)]
    no_new_keyring: bool,
    id: String,
}

#[derive(Args)]
struct Executing {
    /// `process` of a configuration.
    #[arg(long, short)]
    process: Option<PathBuf>,
    /// Do not wait.
    #[arg(long, short)]
    detach: bool,
    #[arg(long, short)]
    tty: bool,
    #[arg(long)]
    console_socket: Option<PathBuf>,
    #[arg(long)]
    pid_file: Option<PathBuf>,
    #[arg(long)]
    cwd: Option<String>,
    #[arg(long, short)]
    env: Vec<String>,
    /// `uid` or `uid:gid`.
    #[arg(long, short)]
    user: Option<String>,
    #[arg(long, short = 'g')]
    additional_gids: Vec<u32>,
    #[arg(long, short)]
    cap: Vec<String>,
    #[arg(long)]
    no_new_privs: bool,
    id: String,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

fn main() -> ExitCode {
    let command = Command::parse();
    match run(&command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let message = describe(&error);
            eprintln!("oci_runtime: {message}");
            if let Some(log) = &command.log {
                // Whoever cannot write it has at least read it.
                let _ = write_log(log, command.log_format, &message);
            }
            ExitCode::FAILURE
        }
    }
}

/// In one line, with its causes, and the words by which callers know what has happened.
fn describe(error: &Error) -> String {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        message = format!("{message}: {error}");
        cause = error.source();
    }
    message += match error.exit_code() {
        Some(127) => ": executable file not found in $PATH",
        Some(126) => ": permission denied",
        _ => "",
    };
    match error.hint() {
        Some(hint) => format!("{message} ({hint})"),
        None => message,
    }
}

fn write_log(log: &Path, format: LogFormat, message: &str) -> std::io::Result<()> {
    let mut file = std::fs::File::options().append(true).create(true).open(log)?;
    let time = Timestamp::now();
    match format {
        LogFormat::Json => {
            let line = serde_json::json!({ "level": "error", "msg": message, "time": time.to_string() });
            writeln!(file, "{line}")
        }
        LogFormat::Text => writeln!(file, "time=\"{time}\" level=error msg={message:?}"),
    }
}

fn run(command: &Command) -> Result<u8> {
    // What needs no containers.
    match &command.verb {
        Verb::Features => {
            println!("{}", plywood::oci::features());
            return Ok(0);
        }
        Verb::Spec { bundle } => return spec(bundle),
        _ => {}
    }
    let runtime = Runtime::open(&command.root)?;
    let container = |id: &str| runtime.container(id);
    match &command.verb {
        Verb::Create(making) => create(&runtime, command, making).map(drop)?,
        Verb::Start { id } => container(id)?.start()?,
        Verb::Run { making, detach, keep } => {
            let container = create(&runtime, command, making)?;
            let ran = container.start().and_then(|()| match detach {
                true => Ok(0),
                false => container.wait().map(|status| code(status.code())),
            });
            if ran.is_err() || !(*detach || *keep) {
                container.delete(true)?;
            }
            return ran;
        }
        Verb::State { id } => println!("{}", container(id)?.state()?.to_json()),
        Verb::Kill { all, id, signal } => container(id)?.kill(signal, *all)?,
        Verb::Delete { force, id } => match container(id) {
            Err(error) if *force && error.kind() == plywood::ErrorKind::NotFound => {}
            container => container?.delete(*force)?,
        },
        Verb::Exec(executing) => return exec(&runtime, executing),
        Verb::List { format, quiet } => list(&runtime, *format, *quiet)?,
        Verb::Ps { format, id } => ps(&container(id)?.processes()?, *format),
        Verb::Pause { id } => container(id)?.pause()?,
        Verb::Resume { id } => container(id)?.resume()?,
        Verb::Events { stats, interval, id } => {
            let seconds = interval.trim_end_matches('s').parse().unwrap_or(5);
            let container = container(id)?;
            let mut usage = container.usage()?;
            loop {
                println!("{usage}");
                if *stats {
                    break;
                }
                std::thread::sleep(Duration::from_secs(seconds));
                match container.usage() {
                    Ok(next) => usage = next,
                    // It has ended.
                    Err(_) => break,
                }
            }
        }
        Verb::Features | Verb::Spec { .. } => {}
    }
    Ok(0)
}

fn code(code: i32) -> u8 {
    u8::try_from(code).unwrap_or(u8::MAX)
}

fn create(runtime: &Runtime, command: &Command, making: &Making) -> Result<plywood::oci::Container> {
    let mut options = Create::new().preserve_fds(making.preserve_fds).systemd_cgroup(command.systemd_cgroup);
    if let Some(socket) = &making.console_socket {
        options = options.console_socket(socket);
    }
    if let Some(file) = &making.pid_file {
        options = options.pid_file(file);
    }
    if making.no_new_keyring {
        options = options.no_new_keyring();
    }
    runtime.create(&making.id, &making.bundle, &options)
}

fn exec(runtime: &Runtime, it: &Executing) -> Result<u8> {
    let mut exec = match &it.process {
        Some(file) => Exec::process(file),
        None => Exec::command(it.command.iter().cloned()),
    };
    exec = exec.tty(it.tty).no_new_privileges(it.no_new_privs);
    exec = it.env.iter().fold(exec, Exec::env);
    exec = it.additional_gids.iter().fold(exec, |exec, gid| exec.group(*gid));
    exec = it.cap.iter().fold(exec, Exec::capability);
    if let Some(cwd) = &it.cwd {
        exec = exec.cwd(cwd);
    }
    if let Some(user) = &it.user {
        let (uid, gid) = user.split_once(':').map_or((user.as_str(), None), |(uid, gid)| (uid, Some(gid)));
        let number = |text: &str| text.parse::<u32>();
        match (number(uid), gid.map(number).transpose()) {
            (Ok(uid), Ok(gid)) => exec = exec.user(uid, gid),
            _ => return usage(format_args!("--user is uid or uid:gid, in numbers, and not {user:?}")),
        }
    }
    if let Some(socket) = &it.console_socket {
        exec = exec.console_socket(socket);
    }
    if let Some(file) = &it.pid_file {
        exec = exec.pid_file(file);
    }
    let started: Started = runtime.container(&it.id)?.exec(&exec)?;
    match it.detach {
        true => Ok(0),
        false => started.wait().map(|status| code(status.code())),
    }
}

/// What is wrong with the command line beyond what clap sees.
fn usage(message: std::fmt::Arguments<'_>) -> Result<u8> {
    eprintln!("oci_runtime: {message}");
    Ok(2)
}

fn list(runtime: &Runtime, format: Format, quiet: bool) -> Result<()> {
    let states = runtime.list()?;
    match (quiet, format) {
        (true, _) => states.iter().for_each(|state| println!("{}", state.id)),
        (false, Format::Json) => {
            let documents: Vec<String> = states.iter().map(|state| state.to_json()).collect();
            println!("[{}]", documents.join(","));
        }
        (false, Format::Table) => {
            println!("{:<24} {:<8} {:<10} {:<30} BUNDLE", "ID", "PID", "STATUS", "CREATED");
            for state in states {
                let (status, bundle) = (state.status.as_str(), state.bundle.display());
                println!("{:<24} {:<8} {status:<10} {:<30} {bundle}", state.id, state.pid, state.created);
            }
        }
    }
    Ok(())
}

fn ps(processes: &[u32], format: Format) {
    match format {
        Format::Json => println!("{}", serde_json::json!(processes)),
        Format::Table => {
            println!("{:<8} CMD", "PID");
            for pid in processes {
                let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                println!("{pid:<8} {}", String::from_utf8_lossy(&line).replace('\0', " ").trim_end());
            }
        }
    }
}

fn spec(bundle: &Path) -> Result<u8> {
    let file = bundle.join("config.json");
    let written = std::fs::File::options().write(true).create_new(true).open(&file);
    match written.and_then(|mut file| file.write_all(plywood::oci::default_config().as_bytes())) {
        Ok(()) => Ok(0),
        Err(error) => {
            eprintln!("oci_runtime: write {}: {error}", file.display());
            Ok(1)
        }
    }
}
