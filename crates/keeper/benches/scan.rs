//! `keeper scan` of a folder with 100,000 obligations: time and memory of the
//! process, as a user would see them.
//!
//! `cargo bench --profile measure -p klend-flash-keeper --bench scan` makes the
//! folder in the temporary directory (about 600 MB, removed afterwards), scans it a
//! few times, and prints the best and the median, with `-- --json` for
//! `cargo xtask bench`. It needs the programs to be built (`cargo xtask build`),
//! because the built-in market is set up with them.

use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use klend_fork::{Position, World};
use klend_interface::state::{DISCRIMINATOR_SIZE, Obligation};
use serde_json::json;
use solana_address::Address;

const OBLIGATIONS: u32 = 100_000;
const RUNS: usize = 7;

fn main() -> Result<()> {
    // `cargo test --benches` only wants to know that it starts.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let parent = tempfile::tempdir()?;
    let folder = parent.path().join("fork");
    let started = Instant::now();
    market()?.write(&folder)?;
    eprintln!("{OBLIGATIONS} obligations written in {:.1} s", started.elapsed().as_secs_f64());

    let mut times = Vec::new();
    let mut most = 0;
    for _ in 0..RUNS {
        let (time, memory) = scan(folder.to_str().context("the folder's name is not UTF-8")?)?;
        eprintln!("{:.3} s, {:.0} MiB at most", time.as_secs_f64(), memory as f64 / 1024.0);
        times.push(time);
        most = most.max(memory);
    }
    times.sort_unstable();
    let (best, median) = (times[0], times[RUNS / 2]);
    if std::env::args().any(|argument| argument == "--json") {
        println!(
            "{}",
            json!({
                "obligations": OBLIGATIONS,
                "best": best.as_nanos() as f64,
                "median": median.as_nanos() as f64,
                "memory": most as f64 * 1024.0,
            })
        );
    } else {
        println!(
            "scan of {OBLIGATIONS} obligations from a folder: best {:.3} s, median {:.3} s, {:.0} MiB at most",
            best.as_secs_f64(),
            median.as_secs_f64(),
            most as f64 / 1024.0
        );
    }
    fs::remove_dir_all(folder)?;
    Ok(())
}

/// The built-in market with many obligations, no two alike.
fn market() -> Result<klend_fork::Snapshot> {
    let mut world = World::builtin()?;
    let (sol, usdc) = (world.reserve_named("SOL")?, world.reserve_named("USDC")?);
    let owner = world.actor("borrower");
    let price = world.price(&sol)?.to_f64();
    let debt = (1_000.0 * price * 0.6 * 1e6) as u64;
    let (deposits, borrows) = ([(sol, 1_000_000_000_000)], [(usdc, debt)]);
    let opened = world.open_position(&owner, &Position::new(&deposits, &borrows))?;
    let template = world.account(&opened).context("the position was opened")?;
    let mut snapshot = world.snapshot();
    for number in 0..OBLIGATIONS {
        let mut account = template.clone();
        let body = account.data.get_mut(DISCRIMINATOR_SIZE..).context("an obligation has data")?;
        let obligation: &mut Obligation = bytemuck::from_bytes_mut(body);
        // From half to one and a half times as much collateral.
        let deposit = &mut obligation.deposits[0].deposited_amount;
        *deposit = *deposit / 2 + *deposit / u64::from(OBLIGATIONS) * u64::from(number);
        let mut key = [7; 32];
        key[..4].copy_from_slice(&number.to_be_bytes());
        snapshot.accounts.insert(Address::new_from_array(key), account);
    }
    Ok(snapshot)
}

/// Time and largest resident memory, KiB, of one scan.
fn scan(folder: &str) -> Result<(Duration, u64)> {
    let started = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_keeper"))
        .args(["--fork", folder, "--json", "scan"])
        .stdout(Stdio::null())
        .spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    loop {
        if let Some(ended) = child.try_wait()? {
            if !ended.success() {
                bail!("the scan failed: {ended}");
            }
            return Ok((started.elapsed(), most));
        }
        let now = fs::read_to_string(&status).unwrap_or_default();
        let peak = now.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        most = most.max(peak.unwrap_or_default());
        thread::sleep(Duration::from_millis(2));
    }
}
