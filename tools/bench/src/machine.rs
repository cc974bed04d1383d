//! What the figures were measured with.

use std::{fs, process::Command, thread};

use serde::{Deserialize, Serialize};

/// Packages whose versions the figures depend on.
const PACKAGES: [&str; 4] = ["litesvm", "solana-program-runtime", "anchor-lang", "klend-interface"];

/// A machine and its compiler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Processor, as it names itself.
    pub cpu: String,
    /// Threads it can run at once.
    pub threads: u64,
    /// Operating system and architecture.
    pub system: String,
    /// Compiler of everything that runs off chain.
    pub rustc: String,
}

impl Machine {
    /// This one.
    pub fn this() -> Self {
        let cpu = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        });
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let rustc = Command::new(rustc).arg("--version").output().ok();
        let unknown = || "unknown".to_owned();
        Self {
            cpu: cpu.unwrap_or_else(unknown),
            threads: thread::available_parallelism().map_or(0, |threads| threads.get() as u64),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            rustc: rustc
                .and_then(|output| String::from_utf8(output.stdout).ok())
                .map_or_else(unknown, |text| text.trim().to_owned()),
        }
    }
}

/// Names and versions of [`PACKAGES`], from the lockfile this was compiled with.
pub fn packages() -> String {
    let lock = include_str!("../../../Cargo.lock");
    let version = |name: &str| {
        let entry = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?.1;
        Some(format!("{name} {}", entry.split_once('"')?.0))
    };
    PACKAGES.iter().filter_map(|name| version(name)).collect::<Vec<_>>().join(", ")
}
