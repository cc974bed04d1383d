//! The keeper's binary, run as a user runs it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::processes::Process;

/// What writes a keeper's log down.
pub type Logging = thread::JoinHandle<std::io::Result<u64>>;

/// Longest a command may take: `setup` waits for a block to be finalized.
const LIMIT: Duration = Duration::from_secs(400);

/// How long `watch` may take to find something.
pub const WATCH: Duration = Duration::from_secs(90);

/// The binary and where it finds things.
pub struct Keeper {
    binary: PathBuf,
    /// Source options: `--rpc URL` or `--fork FOLDER`.
    source: [String; 2],
    /// For output.
    folder: PathBuf,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub errors: String,
}

impl Keeper {
    /// A keeper with a source of accounts.
    pub fn new(binary: &Path, option: &str, source: &str, folder: &Path) -> Self {
        Self {
            binary: binary.to_owned(),
            source: [option.to_owned(), source.to_owned()],
            folder: folder.to_owned(),
        }
    }

    /// The same with another source.
    pub fn on(&self, option: &str, source: &str) -> Self {
        Self::new(&self.binary, option, source, &self.folder)
    }

    /// A command with its output going to `output` and `errors`.
    fn command(&self, args: &[&str], output: &Path, errors: &Path) -> Result<Command> {
        let mut command = Command::new(&self.binary);
        command
            .args(&self.source)
            .args(args)
            .env_remove("KEEPER_RPC_URL")
            .env_remove("RUST_LOG")
            .env("NO_COLOR", "1")
            // As the service has it.
            .env("MALLOC_ARENA_MAX", "2")
            .env("MALLOC_MMAP_THRESHOLD_", "65536")
            .stdin(Stdio::null())
            .stdout(File::create(output)?)
            .stderr(File::create(errors)?);
        Ok(command)
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// When it does not come to one.
    pub fn run(&self, args: &[&str]) -> Result<Ended> {
        let [output, errors] = ["keeper.out", "keeper.err"].map(|name| self.folder.join(name));
        let process = Process::spawn(&mut self.command(args, &output, &errors)?)?;
        let status = process.wait(LIMIT).with_context(|| format!("keeper {}", args.join(" ")))?;
        Ok(Ended {
            code: status.code().context("a signal ended the keeper")?,
            output: std::fs::read_to_string(output)?,
            errors: std::fs::read_to_string(errors)?,
        })
    }

    /// Runs a command that must succeed, and returns what it prints with `--json`.
    ///
    /// # Errors
    /// When it fails, or prints something else.
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        let ended = self.run(&[args, &["--json"]].concat())?;
        let what = || format!("keeper {}", args.join(" "));
        ensure!(
            ended.code == 0,
            "{} ended with {}: {}{}",
            what(),
            ended.code,
            ended.output,
            ended.errors
        );
        serde_json::from_str(&ended.output).with_context(what)
    }

    /// Runs a command that must succeed, for people to read, and makes sure that it
    /// shows all of `words`.
    ///
    /// # Errors
    /// When it fails, or lacks one.
    pub fn shows(&self, args: &[&str], words: &[&str]) -> Result<()> {
        let ended = self.run(args)?;
        let what = args.join(" ");
        ensure!(ended.code == 0, "keeper {what} ended with {}: {}", ended.code, ended.errors);
        for word in words {
            ensure!(
                ended.output.contains(word),
                "keeper {what} shows no {word:?}: {}",
                ended.output
            );
        }
        Ok(())
    }

    /// The same for one whose files may not grow for a while: what is refused then is an
    /// error to it, not its end, and its log comes by a pipe. What writes the log down ends
    /// with it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_limited(&self, name: &str, args: &[&str]) -> Result<(Process, PathBuf, Logging)> {
        let log = self.folder.join(format!("{name}.log"));
        let output = self.folder.join(format!("{name}.out"));
        let command = self.command(args, &output, &log)?;
        let mut limited = Command::new("sh");
        limited.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(command.get_program());
        limited.args(command.get_args()).stdin(Stdio::null()).stderr(Stdio::piped());
        for (variable, value) in command.get_envs() {
            match value {
                Some(value) => limited.env(variable, value),
                None => limited.env_remove(variable),
            };
        }
        let process = Process::spawn(limited.stdout(File::create(&output)?))?;
        let mut errors = process.child().stderr.take().context("no pipe")?;
        let mut file = File::create(&log)?;
        let logging = thread::spawn(move || std::io::copy(&mut errors, &mut file));
        Ok((process, log, logging))
    }

    /// Starts a command that goes on; its standard error is a log with this name, whose
    /// path is returned as well.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, name: &str, args: &[&str]) -> Result<(Process, PathBuf)> {
        let log = self.folder.join(format!("{name}.log"));
        let output = self.folder.join(format!("{name}.out"));
        let process = Process::spawn(&mut self.command(args, &output, &log)?)?;
        Ok((process, log))
    }
}

/// A value in an answer, which has to be there.
pub fn at<'a>(value: &'a Value, pointer: &str) -> Result<&'a Value> {
    value.pointer(pointer).with_context(|| format!("{pointer} is not in {value}"))
}

/// A text in an answer.
pub fn text<'a>(value: &'a Value, pointer: &str) -> Result<&'a str> {
    at(value, pointer)?.as_str().with_context(|| format!("{pointer} is no text in {value}"))
}

/// An amount in an answer: a number, or a text with one.
pub fn amount(value: &Value, pointer: &str) -> Result<i128> {
    let value = at(value, pointer)?;
    match value.as_str() {
        Some(text) => text.parse().ok(),
        None => value.as_i64().map(i128::from),
    }
    .with_context(|| format!("{pointer} is no amount: {value}"))
}

/// What a line of a JSON log says.
pub fn message(line: &Value) -> Option<&str> {
    line.pointer("/fields/message")?.as_str()
}

/// Waits for a line of a JSON log.
pub fn wait_for(log: &Path, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    let started = Instant::now();
    loop {
        let text = fs::read_to_string(log)?;
        let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        if let Some(line) = lines.find(|line| wanted(line)) {
            return Ok(line);
        }
        if started.elapsed() >= WATCH {
            bail!("the keeper's log does not have it after {} s:\n{text}", WATCH.as_secs());
        }
        thread::sleep(Duration::from_millis(100));
    }
}
