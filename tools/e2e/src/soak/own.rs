//! What no node between a keeper and the chain does: it runs out of SOL, of file
//! descriptors, or of room for its files, or a mint that it deals in is paused. Nothing of it
//! needs another user's rights.

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
use flash_liquidator_client::{tip::Tip, token::TOKEN_2022_PROGRAM_ID};
use solana_address::Address;
use solana_instruction::{AccountMeta, Instruction};
use solana_keypair::Keypair;
use solana_signer::Signer;

use crate::chain::Chain;

/// What is left to a key without SOL: its account stays, and no fee can be paid from it.
const LEFT: u64 = 891_000;
/// How long before the end SOL is returned, and a mint goes on: it has to be in a block then.
const RETURN: Duration = Duration::from_millis(1_500);
/// How often it is tried to begin; pause between two tries to end it, and how long that is
/// tried.
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
    /// A mint's authority stops all its transfers.
    PausedMint,
}

/// Token-2022's instruction of the extension by which mints are paused, and two of its own.
const PAUSABLE: u8 = 44;
const PAUSE: u8 = 1;
const RESUME: u8 = 2;

/// A keeper, and who takes and gives SOL.
pub struct Keeper {
    /// Its process.
    pub process: u32,
    /// Its key.
    pub key: Keypair,
    /// Who has its SOL meanwhile, and pays for that; it may pause `mint`, too.
    pub holder: Keypair,
    /// A mint that it deals in.
    pub mint: Address,
    /// Of the node itself.
    pub url: String,
}

/// A shortage that goes on.
pub struct Shortage {
    process: u32,
    own: Own,
    ends: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
}

impl Shortage {
    /// Begins one; the count is one as soon as it is there.
    pub fn begin(keeper: Keeper, own: Own, length: Duration) -> (Self, Arc<AtomicUsize>) {
        let (ends, met) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (over, there) = (Arc::clone(&ends), Arc::clone(&met));
        let process = keeper.process;
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
                Own::PausedMint => keeper.paused(|| lasts(until - RETURN)),
            }
        });
        (Self { process, own, ends, thread }, met)
    }

    /// Whether another like it, of this keeper, would only find what this one has done, and
    /// take that for how it was.
    pub fn covers(&self, process: u32, own: Own) -> bool {
        self.own == own && (self.process == process || own == Own::PausedMint)
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
        // It may be there all the same.
        self.ends(&chain, &back, has_some)
            .with_context(|| format!("{lamports} lamports were not returned"))
    }

    /// Lets nobody transfer tokens of the mint for a while.
    fn paused(&self, lasts: impl FnOnce()) -> Result<()> {
        let chain = Chain::new(&self.url);
        let order = |what: u8| Instruction {
            program_id: TOKEN_2022_PROGRAM_ID,
            accounts: vec![
                AccountMeta::new(self.mint, false),
                AccountMeta::new_readonly(self.holder.pubkey(), true),
            ],
            data: vec![PAUSABLE, what],
        };
        let pause = || chain.send(&[order(PAUSE)], &[&self.holder]);
        if (0..TRIES).any(|_| pause().is_ok()) {
            lasts();
        }
        // It may be paused though nobody was told so.
        self.ends(&chain, &order(RESUME), || false).context("the mint stays paused")
    }

    /// Has the holder end it, until that is in a block or `is_over` all the same.
    fn ends(&self, chain: &Chain, by: &Instruction, is_over: impl Fn() -> bool) -> Result<()> {
        let begun = Instant::now();
        while let Err(error) = chain.send(std::slice::from_ref(by), &[&self.holder]) {
            if is_over() {
                break;
            }
            if begun.elapsed() >= PATIENCE {
                return Err(error);
            }
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
                mint: Address::default(),
                url: "http://127.0.0.1:1".to_owned(),
            };
            let (shortage, met) = Shortage::begin(keeper, own, Duration::from_secs(600));
            while met.load(Ordering::Relaxed) == 0 {
                assert!(!shortage.is_over(), "{own:?}");
                thread::sleep(NAP);
            }
            assert_eq!(soft(what), limit);
            assert!(shortage.covers(child.id(), own) && !shortage.covers(0, own));
            assert!(!shortage.covers(child.id(), Own::Drained));
            shortage.end().unwrap();
            assert_eq!(soft(what), before);
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
