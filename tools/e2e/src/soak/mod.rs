//! Two keepers race each other for a crowd of obligations whose collateral falls and
//! rises, each through proxies that let every kind of fault happen, first about one a
//! second, then one at a time. A referee reads the chain directly.
//!
//! | part | what |
//! |---|---|
//! | [`market`] | prices and borrowers, by transactions |
//! | [`referee`] | what could be liquidated with profit, and for how long |
//! | [`racer`] | a keeper, the two nodes that it believes it has, and a block engine; updates come by websocket, to one of them also by gRPC |
//! | [`own`] | what befalls it beside the nodes: no SOL, no descriptors, no room on the disk, a paused mint |
//! | [`storm`] | the faults, and what the keepers said to them |
//! | [`audit`] | what the keepers signed, and what the chain has of it |

mod audit;
mod market;
mod own;
mod racer;
mod referee;
mod storm;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use self::{
    audit::Audit,
    market::Market,
    racer::Racer,
    referee::{Referee, Streaks},
    storm::Storm,
};
use crate::{oracle::Oracle, report::Report, scene::Scene, server::Server};

/// How long something that can be liquidated with profit may stay so.
const LIMIT: Duration = Duration::from_secs(10);
/// How long after a single fault's end everything may take to be as without it.
const RECOVERY: Duration = Duration::from_secs(5);
/// When memory is first looked at, in a soak that is long enough.
const WARM: Duration = Duration::from_secs(600);
/// Most that memory may grow from then on, per cent.
const GROWTH: f64 = 5.0;
/// Pause between two looks at the keepers' logs.
const TICK: Duration = Duration::from_millis(50);
/// Pause between two looks at their memory.
const MEMORY: Duration = Duration::from_secs(5);
/// Duration of a tick of the validator.
const TICK_OF_VALIDATOR: Duration = Duration::from_micros(6_250);

/// What is asked for.
pub struct Plan {
    /// How long faults happen at random.
    pub length: Duration,
    /// Kinds of faults that happen alone afterwards.
    pub alone: usize,
    /// Chooses what happens.
    pub seed: u64,
    /// Ticks of a slot.
    pub ticks_per_slot: u64,
    /// Where the log goes.
    pub log: Option<PathBuf>,
}

/// Xorshift: the same choices for the same seed.
#[derive(Clone)]
pub struct Dice(u64);

impl Dice {
    /// From a seed; zero is none.
    pub fn new(seed: u64) -> Self {
        Self(seed.max(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// Between two durations.
    pub fn between(&mut self, from: Duration, to: Duration) -> Duration {
        let width = (to - from).as_millis() as u64 + 1;
        from + Duration::from_millis(self.below(width))
    }
}

/// Does everything; what does not hold is in the report.
pub fn run(report: &mut Report, scene: &Scene, server: &Server, binary: &Path, plan: &Plan) {
    let slot = TICK_OF_VALIDATOR * u32::try_from(plan.ticks_per_slot).unwrap_or(64);
    let mut story = String::new();
    server.make_room();
    let oracle = report.step("soak: publish prices", || {
        Ok((Oracle::start(scene, &server.url)?, "every 30 s, by transactions".to_owned()))
    });
    let Some(oracle) = oracle else { return };
    let mut market = Market::new(scene, &server.url, &oracle, plan.seed);
    let referee = report.step("soak: open positions", || {
        market.open()?;
        let referee = Referee::new(scene, &server.url, market.obligations())?;
        let sight = referee.look()?;
        Ok((referee, format!("{} at slot {}", sight.positions.len(), sight.slot)))
    });
    let Some(referee) = referee else { return };
    let racers = report.step("soak: two keepers", || {
        let racers = Racer::start_both(scene, server, binary)?;
        let seen = "each with a table of its own, two nodes, and proxies before them; both ready";
        Ok((racers, seen.to_owned()))
    });
    let Some(mut racers) = racers else { return };
    let begun = Instant::now();
    for racer in &mut racers {
        racer.begin(begun);
    }

    let mut storm = Storm::new(plan.seed);
    let mut streaks = Streaks::new(LIMIT, slot);
    let mut memory = Memory::default();
    report.step(format!("soak: {} s of faults", plan.length.as_secs()), || {
        let watched = (&referee, &mut streaks);
        let faults = at_random(plan, &mut market, watched, &mut racers, &mut storm, &mut memory)?;
        let _ = writeln!(story, "{faults}");
        Ok(((), faults))
    });
    report.step("soak: nothing was missed", || {
        storm.calm(&racers)?;
        let quiet = settle(slot, &referee, &mut streaks, &mut racers)?;
        let seen = format!("{quiet}; {streaks}");
        story.push_str(&format!("{seen}\n"));
        ensure!(streaks.missed.is_empty(), "{seen}; missed: {:?}", streaks.missed);
        Ok(((), seen))
    });
    report.step("soak: memory", || {
        let seen = memory.judge(begun.elapsed(), plan.length);
        let (Ok(told) | Err(told)) = &seen;
        let _ = writeln!(story, "{told}");
        story.push_str(&memory.table());
        Ok(((), seen.map_err(anyhow::Error::msg)?))
    });
    report.step("soak: one fault at a time", || {
        let worst = alone(&mut story, plan, slot, &mut market, &referee, &mut racers, &mut storm)?;
        Ok(((), worst))
    });

    let lines = report.step("soak: the keepers end when asked to", || {
        let [one, two] = racers;
        let lines = [one.stop()?, two.stop()?];
        Ok((lines, "both without an error".to_owned()))
    });
    let Some(lines) = lines else { return };
    report.step("soak: nothing twice, nothing below what was signed", || {
        let mut all = Vec::new();
        for (number, (lines, key)) in lines.iter().zip(&scene.racers).enumerate() {
            let audit = Audit::of(&server.chain, key, lines)
                .with_context(|| format!("keeper {}", number + 1))?;
            all.push(format!("keeper {}: {audit}", number + 1));
        }
        let _ = writeln!(story, "{}", all.join("\n"));
        Ok(((), all.join("; ")))
    });
    report.step("soak: every fault has its answer", || {
        let (seen, silent) = storm.answers(&lines);
        let _ = writeln!(story, "{seen}\n\n{}", storm.table(&lines));
        ensure!(silent.is_empty(), "{seen}; without a word: {}", silent.join("; "));
        Ok(((), seen))
    });
    report.step("soak: log", || {
        let Some(path) = &plan.log else { return Ok(((), "not asked for".to_owned())) };
        fs::write(path, head(plan, scene) + &story + &storm.lines(&lines))?;
        Ok(((), format!("{}", path.display())))
    });
}

fn head(plan: &Plan, scene: &Scene) -> String {
    format!(
        "cargo xtask soak: two keepers, {} obligations, {} minutes of faults at random, seed {}\n\
         {} cores; slots of {} ms; load at the end {}\n\n",
        scene.crowd.len(),
        plan.length.as_secs() / 60,
        plan.seed,
        thread::available_parallelism().map_or(0, std::num::NonZero::get),
        (TICK_OF_VALIDATOR * u32::try_from(plan.ticks_per_slot).unwrap_or(64)).as_millis(),
        load(),
    )
}

/// What else the machine is doing.
fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// Each kind of fault by itself, in every node of both keepers at once where it may be. While
/// it lasts a price makes something liquidatable; how long after its end it is gone is what counts.
fn alone(
    story: &mut String,
    plan: &Plan,
    slot: Duration,
    market: &mut Market<'_>,
    referee: &Referee,
    racers: &mut [Racer; 2],
    storm: &mut Storm,
) -> Result<String> {
    /// How long a fault lasts of which nothing else is said.
    const LENGTH: Duration = Duration::from_secs(2);
    /// How long is waited until it is as without it.
    const PATIENCE: Duration = Duration::from_secs(30);
    let time = |slots: u64| slot * u32::try_from(slots).unwrap_or(u32::MAX);
    let kinds = storm.some(plan.alone);
    let (mut worst, mut slow) = (Duration::ZERO, Vec::new());
    let _ = writeln!(
        story,
        "One fault at a time, {} s or as long as it takes, in the nodes of both:",
        LENGTH.as_secs()
    );
    for kind in &kinds {
        market.prepare(referee)?;
        racers.iter_mut().try_for_each(Racer::read)?;
        let (begun, first) = (Instant::now(), storm.count());
        let length = storm.length(*kind, LENGTH);
        for number in 0..racers.len() {
            storm.inject(racers, number, storm.nodes(*kind), *kind, length)?;
        }
        thread::sleep(length / 2);
        let since = market.opportunity(referee)?;
        thread::sleep((begun + length).saturating_duration_since(Instant::now()));
        let (end, end_slot) = (Instant::now(), referee.look()?.slot);
        let (took, slots, left) = loop {
            let sight = referee.look()?;
            racers.iter_mut().try_for_each(Racer::read)?;
            let left = sight.profitable().count();
            let slots = sight.slot.saturating_sub(end_slot);
            if sight.slot > since && left == 0 || time(slots) > PATIENCE {
                break (end.elapsed(), slots, left);
            }
            thread::sleep(TICK);
        };
        // Slots stretch when the machine is busy with other things.
        let took = took.min(time(slots));
        worst = worst.max(took);
        let name = storm.name(*kind);
        let _ = writeln!(
            story,
            "  {name:<50} met {:>4} times, gone {:>5} ms, {slots} slots after",
            storm.met_from(first),
            took.as_millis()
        );
        if took > RECOVERY || left > 0 {
            slow.push(format!("{name}: {} ms, {left} left", took.as_millis()));
        }
    }
    storm.calm(racers)?;
    ensure!(slow.is_empty(), "not over {} s later: {}", RECOVERY.as_secs(), slow.join("; "));
    let seen = format!(
        "{} kinds; liquidated at most {} ms after the end of one",
        kinds.len(),
        worst.as_millis()
    );
    let _ = writeln!(story, "{seen}\n");
    Ok(seen)
}

/// Faults about once a second, while prices move.
fn at_random(
    plan: &Plan,
    market: &mut Market<'_>,
    (referee, streaks): (&Referee, &mut Streaks),
    racers: &mut [Racer; 2],
    storm: &mut Storm,
    memory: &mut Memory,
) -> Result<String> {
    let (begun, stop) = (Instant::now(), AtomicBool::new(false));
    let (before, first_slot) = (storm.count(), referee.look()?.slot);
    thread::scope(|scope| {
        let moving = scope.spawn(|| market.live(referee, &stop));
        let judging = scope.spawn(|| streaks.follow(referee, &stop));
        let mut next_memory = Instant::now();
        let result = (|| -> Result<()> {
            while begun.elapsed() < plan.length {
                thread::sleep(TICK);
                storm.blow(racers)?;
                racers.iter_mut().try_for_each(Racer::read)?;
                if Instant::now() >= next_memory {
                    next_memory = Instant::now() + MEMORY;
                    memory.look(begun.elapsed(), racers)?;
                }
                ensure!(!moving.is_finished() && !judging.is_finished(), "the scene broke down");
            }
            Ok(())
        })();
        stop.store(true, Ordering::Relaxed);
        let told = |ended: thread::Result<Result<String>>| {
            ended.unwrap_or_else(|_| Err(anyhow::anyhow!("a thread broke down")))
        };
        let (moved, judged) = (told(moving.join()), told(judging.join()));
        let (moved, judged) = (moved?, judged?);
        result?;
        let faults = storm.count() - before;
        let pause = plan.length.as_millis() / faults.max(1) as u128;
        let slots = referee.look()?.slot - first_slot;
        let seen = format!("{faults} faults, one every {pause} ms; {slots} slots");
        Ok(format!("{seen}; {moved}; {judged}"))
    })
}

/// No more faults and prices: what can be liquidated with profit is.
fn settle(
    slot: Duration,
    referee: &Referee,
    streaks: &mut Streaks,
    racers: &mut [Racer; 2],
) -> Result<String> {
    let first = referee.look()?.slot;
    loop {
        let sight = referee.look()?;
        let slots = sight.slot.saturating_sub(first);
        streaks.take(&sight);
        racers.iter_mut().try_for_each(Racer::read)?;
        let left = sight.profitable().count();
        if left == 0 {
            return Ok(format!("nothing left {slots} slots after the last fault"));
        }
        let took = slot * u32::try_from(slots).unwrap_or(u32::MAX);
        ensure!(took < LIMIT * 3, "{left} are left {slots} slots after the last fault");
        thread::sleep(TICK);
    }
}

/// The keepers' resident memory and the part of it that is no file's, KiB, and when.
#[derive(Default)]
struct Memory(Vec<(Duration, [[u64; 2]; 2], String)>);

impl Memory {
    fn look(&mut self, at: Duration, racers: &[Racer; 2]) -> Result<()> {
        self.0.push((at, [racers[0].memory()?, racers[1].memory()?], load()));
        Ok(())
    }

    /// Average over a minute that ends at `end`.
    fn around(&self, end: Duration) -> Option<[f64; 2]> {
        let from = end.saturating_sub(Duration::from_secs(60));
        let within: Vec<&[[u64; 2]; 2]> = self
            .0
            .iter()
            .filter(|(at, ..)| (from..=end).contains(at))
            .map(|(_, both, _)| both)
            .collect();
        let mean = |one: usize| {
            within.iter().map(|both| both[one][0] as f64).sum::<f64>() / within.len() as f64
        };
        (!within.is_empty()).then(|| [mean(0), mean(1)])
    }

    /// What came of it; an error when it grew too much. A soak that is over before the
    /// keepers are warm only tells.
    fn judge(&self, end: Duration, length: Duration) -> Result<String, String> {
        let is_long = length >= WARM * 2;
        let warm = if is_long { WARM } else { length / 2 };
        let (Some(first), Some(last)) = (self.around(warm), self.around(length.min(end))) else {
            return Err("it was not looked at".to_owned());
        };
        let grown = [0, 1].map(|one| (last[one] / first[one] - 1.0) * 100.0);
        let seen = format!(
            "resident memory {:.1} and {:.1} MiB after {} s, {:.1} and {:.1} MiB at the end: \
             {:+.1} % and {:+.1} %",
            first[0] / 1024.0,
            first[1] / 1024.0,
            warm.as_secs(),
            last[0] / 1024.0,
            last[1] / 1024.0,
            grown[0],
            grown[1],
        );
        if is_long && grown.iter().any(|grown| *grown > GROWTH) { Err(seen) } else { Ok(seen) }
    }

    /// One line every five minutes.
    fn table(&self) -> String {
        let mut text =
            String::from("  minute  keeper 1 MiB  no file's  keeper 2 MiB  no file's  load\n");
        let mut next = Duration::ZERO;
        for (at, both, load) in &self.0 {
            if *at >= next {
                let [one, two] = both.map(|both| both.map(|kib| kib as f64 / 1024.0));
                let _ = writeln!(
                    text,
                    "  {:>6}  {:>12.1}  {:>9.1}  {:>12.1}  {:>9.1}  {load}",
                    at.as_secs() / 60,
                    one[0],
                    one[1],
                    two[0],
                    two[1]
                );
                next = *at + Duration::from_secs(300);
            }
        }
        text.push('\n');
        text
    }
}
