//! What happens to a keeper itself: it runs out of SOL, of file descriptors, or of room for
//! its files. Nothing of it needs another user's rights.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use flash_liquidator_client::tip::Tip;
use solana_keypair::Keypair;
use solana_signer::Signer;

use crate::chain::Chain;

/// What is left to a key without SOL: its account stays, and no fee can be paid from it.
const LEFT: u64 = 891_000;
/// How long before the end SOL is returned: it has to be in a block then.
const RETURN: Duration = Duration::from_millis(1_500);
/// How often it is tried to take it; pause between two tries to return it, and how long
/// that is tried.
const TRIES: u32 = 3;
const AGAIN: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(60);
/// How quickly it is noticed that it is to end before its time.
const NAP: Duration = Duration::from_millis(20);

/// A shortage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// All its SOL is taken from it.
    Drained,
    /// It may open nothing more (`RLIMIT_NOFILE`).
    OutOfFiles,
    /// None of its files may be written to (`RLIMIT_FSIZE`, which is as a full disk is: a
    /// write is refused).
    FullDisk,
}

/// A keeper, and who takes and gives SOL.
pub struct Keeper {
    /// Its process.
    pub process: u32,
    /// Its key.
    pub key: Keypair,
    /// Who has its SOL meanwhile, and pays for that.
    pub holder: Keypair,
    /// Of the node itself.
    pub url: String,
}

/// A shortage that goes on.
pub struct Shortage {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
}

impl Shortage {
    /// Begins one; the count is one as soon as it is there.
    pub fn begin(keeper: Keeper, own: Own, length: Duration) -> (Self, Arc<AtomicUsize>) {
        let (ends, met) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (over, there) = (Arc::clone(&ends), Arc::clone(&met));
        let thread = thread::spawn(move || {
            let until = Instant::now() + length;
            let lasts = |until: Instant| {
                there.store(1, Ordering::Relaxed);
                while !over.load(Ordering::Relaxed) && Instant::now() < until {
                    thread::sleep(NAP);
                }
            };
            match own {
                Own::OutOfFiles => keeper.limited("nofile", 3, || lasts(until)),
                Own::FullDisk => keeper.limited("fsize", 0, || lasts(until)),
                Own::Drained => keeper.drained(|| lasts(until - RETURN)),
            }
        });
        (Self { ends, thread }, met)
    }

    /// Ends it now if it has not ended yet, and waits until all is as before.
    pub fn end(self) -> Result<()> {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a thread broke down")))
    }

    /// Whether all is as before.
    pub fn is_over(&self) -> bool {
        self.thread.is_finished()
    }
}

impl Keeper {
    /// Lets a limit of the process be `limit` for a while.
    fn limited(&self, what: &str, limit: u64, lasts: impl FnOnce()) -> Result<()> {
        let prlimit = |args: &[String]| -> Result<String> {
            let output = Command::new("prlimit")
                .arg(format!("--pid={}", self.process))
                .args(args)
                .output()
                .context("prlimit, of Debian's util-linux")?;
            let errors = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "prlimit {args:?}: {errors}");
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let shown = ["--noheadings", "--raw", "--output=SOFT"].map(str::to_owned);
        let before = prlimit(&[&shown[..], &[format!("--{what}")]].concat())?;
        prlimit(&[format!("--{what}={limit}:")])?;
        lasts();
        prlimit(&[format!("--{what}={before}:")])?;
        Ok(())
    }

    /// Takes the key's SOL for a while.
    fn drained(&self, lasts: impl FnOnce()) -> Result<()> {
        let chain = Chain::new(&self.url);
        let (key, holder) = (self.key.pubkey(), self.holder.pubkey());
        let has_some = || chain.lamports(&key).is_ok_and(|lamports| lamports > LEFT * 2);
        let take = || -> Result<u64> {
            let lamports = chain.lamports(&key)?.saturating_sub(LEFT);
            let taken = Tip { account: holder, lamports }.instruction(&key);
            chain.send(&[taken], &[&self.holder, &self.key])?;
            Ok(lamports)
        };
        // What it pays for meanwhile lacks: then nothing is taken, and the next try may do.
        let Some(Ok(lamports)) = (0..TRIES).map(|_| take()).find(Result::is_ok) else {
            ensure!(has_some(), "its SOL was taken, and nobody knows how much");
            return Ok(());
        };
        lasts();
        let back = Tip { account: key, lamports }.instruction(&holder);
        let begun = Instant::now();
        while let Err(error) = chain.send(std::slice::from_ref(&back), &[&self.holder]) {
            // It may be there all the same.
            if has_some() {
                break;
            }
            ensure!(begun.elapsed() < PATIENCE, "{lamports} lamports were not returned: {error:#}");
            thread::sleep(AGAIN);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Stdio};

    use super::*;

    #[test]
    fn a_limit_is_there_for_a_while_and_then_what_it_was() {
        let mut child = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
        let limits = format!("/proc/{}/limits", child.id());
        let soft = |what: &str| -> String {
            let all = fs::read_to_string(&limits).unwrap();
            let line = all.lines().find_map(|line| line.strip_prefix(what)).unwrap();
            line.split_whitespace().next().unwrap().to_owned()
        };
        for (own, what, limit) in
            [(Own::OutOfFiles, "Max open files", "3"), (Own::FullDisk, "Max file size", "0")]
        {
            let before = soft(what);
            let keeper = Keeper {
                process: child.id(),
                key: Keypair::new(),
                holder: Keypair::new(),
                url: "http://127.0.0.1:1".to_owned(),
            };
            let (shortage, met) = Shortage::begin(keeper, own, Duration::from_secs(600));
            while met.load(Ordering::Relaxed) == 0 {
                assert!(!shortage.is_over(), "{own:?}");
                thread::sleep(NAP);
            }
            assert_eq!(soft(what), limit);
            shortage.end().unwrap();
            assert_eq!(soft(what), before);
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
