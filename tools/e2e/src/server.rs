//! The validator, from its start to its end.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::{chain::Chain, processes::Process, scene::Scene};

/// Slot from which on everything deployed at genesis can be called.
const FIRST_USABLE_SLOT: u64 = 3;
/// How long the first slots may take.
const START: Duration = Duration::from_secs(120);
/// The thread that looks for transactions without ever pausing.
const SCHEDULER: &str = "solBnkTxSched";
/// How long the end may take.
const STOP: Duration = Duration::from_secs(30);

/// A running validator. It stops when this is dropped, and by itself when this
/// process is gone: its standard input ends then.
pub struct Server {
    process: Process,
    /// Its JSON-RPC interface.
    pub url: String,
    /// Its client.
    pub chain: Chain,
}

impl Server {
    /// Starts one with the scene's accounts and programs, and waits until it can be
    /// used.
    ///
    /// # Errors
    /// With the end of its log.
    pub fn start(binary: &Path, scene: &Scene, ticks_per_slot: u64) -> Result<Self> {
        let log = scene.folder.join("validator.log");
        let process = Process::spawn(
            Command::new(binary)
                .current_dir(&scene.folder)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(File::create(&log)?),
        )?;
        Self::connect(process, scene, ticks_per_slot)
            .with_context(|| format!("its log ends with: {}", last_lines(&log)))
    }

    fn connect(process: Process, scene: &Scene, ticks_per_slot: u64) -> Result<Self> {
        let programs: Vec<Value> = scene
            .programs
            .iter()
            .map(|program| {
                json!({
                    "id": program.id.to_string(),
                    "elf": program.elf,
                    "upgrade_authority": scene.upgrade_authority().to_string(),
                })
            })
            .collect();
        let genesis = json!({
            "ledger": scene.folder.join("ledger"),
            "accounts": scene.folder.join("genesis/accounts"),
            "programs": programs,
            "ticks_per_slot": ticks_per_slot,
        });
        let output = {
            let mut child = process.child();
            let input = child.stdin.as_mut().context("the validator has no standard input")?;
            writeln!(input, "{genesis}")?;
            child.stdout.take().context("the validator has no standard output")?
        };
        let mut url = None;
        for line in BufReader::new(output).lines() {
            // Agave's library prints its progress there as well.
            if let Ok(address) = serde_json::from_str::<Value>(&line?)
                && let Some(rpc) = address["rpc"].as_str()
            {
                url = Some(rpc.to_owned());
                break;
            }
        }
        let url = url.context("the validator ended")?;
        ensure!(url.starts_with("http://127.0.0.1:"), "the validator listens at {url}");
        let chain = Chain::new(&url);
        chain.wait_for_slot(FIRST_USABLE_SLOT, START)?;
        Ok(Self { process, url, chain })
    }

    /// Puts the thread that never pauses behind whatever else has something to do, which
    /// would share two cores with it otherwise. Where nothing can, it stays as it is.
    pub fn make_room(&self) {
        let threads = format!("/proc/{}/task", self.process.child().id());
        for thread in fs::read_dir(threads).into_iter().flatten().flatten() {
            let name = fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
            if name.trim_end() == SCHEDULER {
                let _ = Command::new("renice")
                    .args(["-n", "10", "-p"])
                    .arg(thread.file_name())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .status();
            }
        }
    }

    /// Stops it and makes sure that nobody listens any more.
    ///
    /// # Errors
    /// When it does not stop by itself.
    pub fn stop(self) -> Result<String> {
        drop(self.process.child().stdin.take());
        let status = self.process.wait(STOP)?;
        ensure!(status.success(), "it ended with {status}");
        let address = self.url.trim_start_matches("http://").to_owned();
        let deadline = Instant::now() + STOP;
        while TcpStream::connect(&address).is_ok() {
            if Instant::now() >= deadline {
                bail!("something still listens at {address}");
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok("it ended by itself, its port is closed".to_owned())
    }
}

fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    if lines.is_empty() {
        return "nothing".to_owned();
    }
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
