//! What goes wrong, and what the keepers said to it.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use fault_proxy::{proxy::Fault as Call, socket::Fault as Socket};

use super::{
    Dice,
    own::{Own, Shortage},
    racer::{Line, Racer},
};

/// Pause between two faults. Somewhat less than a second, as not all are met.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(1_000));
/// How long one lasts, of which nothing else is said.
const LENGTH: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(3_500));
/// How long after its end a keeper's words still are about it.
const AFTER: Duration = Duration::from_secs(6);
/// Longer than a stream may be silent, which its keeper has to find out; and than it takes
/// an audit to.
const SILENT: Duration = Duration::from_secs(7);
const DEAD: Duration = Duration::from_secs(6);
/// How long a keeper is without SOL and a mint is paused: some of it passes until that is in
/// a block.
const DRAINED: Duration = Duration::from_secs(6);
/// One of so many happens in both nodes of a keeper at once.
const BOTH: u64 = 5;

/// Where something goes wrong.
#[derive(Clone, Copy)]
enum What {
    /// Calls, of a method or all of them.
    Call(Option<&'static str>, Call),
    /// Subscriptions.
    Socket(Socket),
    /// Bundles, on their way to the block engine.
    Engine(Call),
    /// Neither: what it has itself, and what it deals in.
    Own(Own),
}

/// What a keeper has to say to it.
#[derive(Clone, Copy, PartialEq)]
enum Wants {
    /// That it was met, and what is done about it.
    Words,
    /// Nothing, if nothing is lost by it; why that is so.
    Nothing(&'static str),
}

const TRANSACTION: Option<&str> = Some("getTransaction");
const ACCOUNTS: Option<&str> = Some("getMultipleAccounts");
const SCAN: Option<&str> = Some("getProgramAccounts");
const SEND: Option<&str> = Some("sendTransaction");
const STATUS: Option<&str> = Some("getSignatureStatuses");
const BUNDLE: Option<&str> = Some("sendBundle");
const EPOCH: Option<&str> = Some("getEpochInfo");
const BLOCKHASH: Option<&str> = Some("getLatestBlockhash");

const READ: Wants = Wants::Nothing("read as it is");
const STALE: Wants = Wants::Nothing("older than what is known: left aside");
const KNOWN: Wants = Wants::Nothing("known already: left aside");
const OTHER: Wants = Wants::Nothing("the other stream, a scan or an audit tells it");
const KEPT: Wants = Wants::Nothing("what it lacks is kept until a second answer lacks it");
const SLOTS: Wants = Wants::Nothing("ends nothing before as many slots have passed");
const ROADS: Wants = Wants::Nothing("the nodes got the same bytes");
const SWALLOWED: Wants = Wants::Nothing("the other node gets the same bytes, and this one again");
const UNTRIED: Wants = Wants::Nothing("nothing came that it would have begun");
const UNWRITTEN: Wants = Wants::Nothing("nothing came that it would have written");
const UNTOLD: Wants = Wants::Nothing("over before it was told of it");
const OPEN: Wants = Wants::Nothing("what is open stays open");
const PIECES: Wants = Wants::Nothing("asked for in small pieces already");

/// Every kind of fault.
const KINDS: &[(What, Wants)] = &[
    (What::Call(None, Call::TooManyRequests), Wants::Words),
    (What::Call(None, Call::AskedLater(1)), Wants::Words),
    (What::Call(None, Call::AskedLater(60)), Wants::Words),
    (What::Call(None, Call::InternalError), Wants::Words),
    (What::Call(None, Call::Code(200)), Wants::Words),
    (What::Call(None, Call::Code(410)), Wants::Words),
    (What::Call(None, Call::Code(-32_603)), Wants::Words),
    (What::Call(None, Call::Code(-32_429)), Wants::Words),
    (What::Call(None, Call::Code(-32_007)), Wants::Words),
    (What::Call(None, Call::Code(-32_097)), Wants::Words),
    (What::Call(None, Call::Code(-32_010)), Wants::Words),
    (What::Call(None, Call::Code(-32_005)), Wants::Words),
    (What::Call(None, Call::DroppedConnection), Wants::Words),
    (What::Call(None, Call::Timeout), Wants::Words),
    (What::Call(None, Call::BlackHole), Wants::Words),
    (What::Call(None, Call::Busy(-32_600)), Wants::Words),
    (What::Call(None, Call::Slow(Duration::from_millis(300))), READ),
    (What::Call(None, Call::Dialect), READ),
    (What::Call(ACCOUNTS, Call::TruncatedJson), Wants::Words),
    (What::Call(ACCOUNTS, Call::PartialAnswer), Wants::Words),
    (What::Call(ACCOUNTS, Call::LostAnswer), Wants::Words),
    (What::Call(ACCOUNTS, Call::NodeIsBehind), Wants::Words),
    (What::Call(ACCOUNTS, Call::StaleSlot), Wants::Words),
    (What::Call(ACCOUNTS, Call::FarFuture), Wants::Words),
    (What::Call(ACCOUNTS, Call::Ahead(100)), Wants::Words),
    (What::Call(ACCOUNTS, Call::Nothing), KEPT),
    (What::Call(ACCOUNTS, Call::AtMost(5, -32_602)), PIECES),
    (What::Call(ACCOUNTS, Call::AtMost(5, 413)), PIECES),
    (What::Call(ACCOUNTS, Call::AtMost(75, -32_602)), PIECES),
    (What::Call(SCAN, Call::EmptyList), Wants::Words),
    (What::Call(SCAN, Call::ShortList), KEPT),
    (What::Call(SCAN, Call::TruncatedJson), Wants::Words),
    (What::Call(SCAN, Call::Code(413)), Wants::Words),
    (What::Call(SCAN, Call::Code(-32_602)), Wants::Words),
    (What::Call(SCAN, Call::StaleSlot), Wants::Words),
    (What::Call(SCAN, Call::BlackHole), Wants::Words),
    (What::Call(SCAN, Call::Grown), READ),
    (What::Call(SEND, Call::LostAnswer), Wants::Words),
    (What::Call(SEND, Call::DroppedConnection), Wants::Words),
    (What::Call(SEND, Call::Code(-32_005)), Wants::Words),
    (What::Call(SEND, Call::TooManyRequests), Wants::Words),
    (What::Call(SEND, Call::Code(-32_603)), Wants::Words),
    // Refused for good, by one of two.
    (What::Call(SEND, Call::Code(-32_003)), Wants::Words),
    (What::Call(SEND, Call::BlackHole), Wants::Words),
    (What::Call(SEND, Call::AskedLater(60)), Wants::Words),
    (What::Call(SEND, Call::Swallowed), SWALLOWED),
    (What::Call(STATUS, Call::StaleSlot), STALE),
    (What::Call(STATUS, Call::PartialAnswer), Wants::Words),
    (What::Call(STATUS, Call::Nothing), KEPT),
    (What::Call(STATUS, Call::BlackHole), Wants::Words),
    (What::Call(STATUS, Call::AskedLater(60)), Wants::Words),
    (What::Call(STATUS, Call::FarFuture), Wants::Words),
    (What::Call(STATUS, Call::TruncatedJson), Wants::Words),
    (What::Call(STATUS, Call::DroppedConnection), Wants::Words),
    (What::Call(TRANSACTION, Call::TruncatedJson), Wants::Words),
    (What::Call(TRANSACTION, Call::Code(-32_603)), Wants::Words),
    (What::Call(TRANSACTION, Call::Dialect), READ),
    (What::Call(EPOCH, Call::TruncatedJson), Wants::Words),
    (What::Call(EPOCH, Call::FarFuture), Wants::Words),
    (What::Call(EPOCH, Call::FarHeight), SLOTS),
    (What::Call(BLOCKHASH, Call::Code(-32_603)), Wants::Words),
    (What::Call(BLOCKHASH, Call::FarFuture), Wants::Words),
    (What::Call(BLOCKHASH, Call::FarHeight), Wants::Words),
    (What::Socket(Socket::Refused), Wants::Words),
    (What::Socket(Socket::Cut), Wants::Words),
    (What::Socket(Socket::Silent), Wants::Words),
    (What::Socket(Socket::DeadPrograms), OTHER),
    (What::Socket(Socket::DeadAccounts), OTHER),
    (What::Socket(Socket::Gone), KEPT),
    (What::Socket(Socket::Twice), KNOWN),
    (What::Socket(Socket::Late(Duration::from_millis(800))), READ),
    (What::Socket(Socket::OldSlots), Wants::Words),
    (What::Socket(Socket::FarFuture), Wants::Words),
    (What::Socket(Socket::Dialect), READ),
    (What::Socket(Socket::Truncated), Wants::Words),
    (What::Engine(Call::Swallowed), ROADS),
    (What::Engine(Call::LostAnswer), Wants::Words),
    (What::Engine(Call::BlackHole), Wants::Words),
    (What::Engine(Call::TooManyRequests), Wants::Words),
    (What::Engine(Call::Code(-32_602)), Wants::Words),
    (What::Own(Own::Drained), UNTRIED),
    (What::Own(Own::OutOfFiles), OPEN),
    (What::Own(Own::FullDisk), UNWRITTEN),
    (What::Own(Own::PausedMint), UNTOLD),
];

impl What {
    /// How long it lasts, where that matters.
    fn length(self) -> Option<Duration> {
        match self {
            Self::Socket(Socket::Silent | Socket::OldSlots) => Some(SILENT),
            Self::Socket(Socket::DeadPrograms | Socket::DeadAccounts) => Some(DEAD),
            Self::Own(Own::Drained | Own::PausedMint) => Some(DRAINED),
            _ => None,
        }
    }

    /// Whether it happens in one node at a time only: what both refuse or say for good is
    /// refused, or so.
    fn is_of_one(self) -> bool {
        matches!(
            self,
            Self::Call(_, Call::Code(-32_003) | Call::Nothing | Call::Ahead(_))
                | Self::Socket(Socket::Gone)
        )
    }
}

/// What the keeper says when calls go wrong.
const OF_CALLS: &[&str] = &[
    "asked again",
    "node taken out",
    "asked elsewhere",
    "asking for less",
    "asking for addresses first",
    "a scan came short: again",
    "not shown where something was: asked again",
    "no blockhash was read",
    "no account of this kind: asked again",
    "reserves that the node did not list",
    "the source failed",
    "the chain was not read",
    "the rent was not read",
    "sending failed",
    "refused",
    "no news",
    "not over yet by the second answer",
    // Of every road, once an attempt is over: what it said, or that it was silent.
    "road",
];

/// What it says when a stream breaks off: which one stands in the reason.
const OF_STREAMS: &[&str] = &[
    "updates broke off: polling",
    "one of the streams broke off",
    "updates of pools broke off: polling for them",
];

/// What it says when updates are not what they should be.
const OF_UPDATES: &[&str] = &[
    "a change was not told of: subscribing anew",
    "a change of a pool was not told of: subscribing anew",
    "an update was not understood",
];

/// What it says when it lacks something itself.
const OF_ITSELF: &[&str] = &[
    "paused: the key cannot pay for it",
    "the ledger cannot be written: nothing is begun meanwhile",
    "no attempt begins",
    "not sent: its row is not in the ledger",
    "the ledger does not keep why obligations were left alone",
    "the case cannot be written",
];

/// What it says when a mint may not be used any more, or again.
const OF_MINTS: &[&str] = &["a mint has changed"];

/// A fault that happened.
struct Happened {
    /// Since the beginning.
    at: Duration,
    length: Duration,
    racer: usize,
    nodes: &'static [usize],
    /// What the keeper calls them, or the streams from them.
    names: Vec<String>,
    kind: usize,
    met: Vec<Arc<AtomicUsize>>,
    /// It was ended before its time.
    is_cut: bool,
}

impl Happened {
    /// Calls or messages that met it.
    fn met(&self) -> usize {
        self.met.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// What the keeper said to it: each message and how often.
    fn answers<'a>(&self, lines: &'a [Line]) -> BTreeMap<&'a str, usize> {
        let words = match KINDS[self.kind].0 {
            What::Call(..) | What::Engine(_) => OF_CALLS.to_vec(),
            What::Socket(_) => [OF_STREAMS, OF_UPDATES].concat(),
            What::Own(Own::OutOfFiles) => [OF_CALLS, OF_STREAMS, OF_UPDATES, OF_ITSELF].concat(),
            What::Own(Own::Drained | Own::FullDisk) => OF_ITSELF.to_vec(),
            What::Own(Own::PausedMint) => OF_MINTS.to_vec(),
        };
        let mut said = BTreeMap::new();
        let from = lines.partition_point(|line| line.at < self.at);
        for line in &lines[from..] {
            if line.at > self.at + self.length + AFTER {
                break;
            }
            let names = |field: &str| line.text(field).rsplit(' ').next().unwrap_or_default();
            let is_named = |field| {
                names(field).is_empty() || self.names.iter().any(|name| names(field) == name)
            };
            let is_of_it = if OF_STREAMS.contains(&&*line.message) {
                self.names.iter().any(|name| line.text("reason").contains(name))
            } else {
                is_named("node") && is_named("road")
            };
            if words.contains(&&*line.message) && is_of_it {
                *said.entry(&*line.message).or_default() += 1;
            }
        }
        said
    }
}

/// Faults, in the order they happened.
pub struct Storm {
    dice: Dice,
    begun: Instant,
    next: Instant,
    happened: Vec<Happened>,
    /// What keepers lack now.
    shortages: Vec<Shortage>,
}

impl Storm {
    /// Calm.
    pub fn new(seed: u64) -> Self {
        let now = Instant::now();
        let (happened, shortages) = (Vec::new(), Vec::new());
        Self { dice: Dice::new(seed), begun: now, next: now, happened, shortages }
    }

    /// How many faults there were.
    pub fn count(&self) -> usize {
        self.happened.len()
    }

    /// Calls and messages that met faults from the one of this number on.
    pub fn met_from(&self, number: usize) -> usize {
        self.happened[number..].iter().map(Happened::met).sum()
    }

    /// At most so many kinds, each once.
    pub fn some(&mut self, most: usize) -> Vec<usize> {
        let mut kinds: Vec<usize> = (0..KINDS.len()).collect();
        while kinds.len() > most {
            kinds.remove(self.dice.below(kinds.len() as u64) as usize);
        }
        kinds
    }

    /// What a kind is called.
    pub fn name(&self, kind: usize) -> String {
        match KINDS[kind].0 {
            What::Call(None, fault) => format!("every call {fault:?}"),
            What::Call(Some(method), fault) => format!("{method} {fault:?}"),
            What::Socket(fault) => format!("updates {fault:?}"),
            What::Engine(fault) => format!("block engine {fault:?}"),
            What::Own(own) => format!("beside the nodes {own:?}"),
        }
    }

    /// How long a kind lasts, by itself for `length` if nothing else is said.
    pub fn length(&self, kind: usize, length: Duration) -> Duration {
        KINDS[kind].0.length().unwrap_or(length)
    }

    /// The nodes that it may happen in at once.
    pub fn nodes(&self, kind: usize) -> &'static [usize] {
        if KINDS[kind].0.is_of_one() { &[0] } else { &[0, 1] }
    }

    /// Nothing more goes wrong, in either keeper.
    ///
    /// # Errors
    /// Something could not be made as it was.
    pub fn calm(&mut self, racers: &[Racer; 2]) -> Result<()> {
        racers.iter().for_each(Racer::clear);
        for shortage in self.shortages.drain(..) {
            shortage.end()?;
        }
        let now = self.begun.elapsed();
        for one in self.happened.iter_mut().filter(|one| one.at + one.length > now) {
            one.length = now.saturating_sub(one.at);
            one.is_cut = true;
        }
        Ok(())
    }

    /// Lets a kind of fault happen for a while in nodes of one keeper; nothing, where it is
    /// one that goes on and cannot be twice at a time.
    pub fn inject(
        &mut self,
        racers: &[Racer; 2],
        racer: usize,
        nodes: &'static [usize],
        kind: usize,
        length: Duration,
    ) -> Result<()> {
        let Racer { nodes: all, engine, .. } = &racers[racer];
        let each = nodes.iter().map(|node| &all[*node]);
        let at = self.begun.elapsed();
        let met = match KINDS[kind].0 {
            What::Call(method, fault) => {
                each.clone().map(|node| node.calls.during(method, fault, length)).collect()
            }
            What::Socket(fault) => {
                each.clone().map(|node| node.socket.during(fault, length)).collect()
            }
            What::Engine(fault) => vec![engine.during(BUNDLE, fault, length)],
            What::Own(own) => {
                // Those that are over: whether all is as it was is to be known.
                for over in self.shortages.extract_if(.., |one| one.is_over()) {
                    over.end()?;
                }
                let keeper = racers[racer].itself();
                if self.shortages.iter().any(|one| one.covers(keeper.process, own)) {
                    return Ok(());
                }
                let (shortage, met) = Shortage::begin(keeper, own, length);
                self.shortages.push(shortage);
                vec![met]
            }
        };
        let name = |url: &str| url.rsplit('/').next().unwrap_or_default().to_owned();
        let names = match KINDS[kind].0 {
            What::Call(..) => each.map(|node| name(node.calls.url())).collect(),
            What::Socket(_) => each.map(|node| name(&node.stream)).collect(),
            What::Engine(_) => vec![name(engine.url())],
            What::Own(_) => {
                let all = all.iter().flat_map(|node| [node.calls.url(), &node.stream]);
                all.chain([engine.url()]).map(name).collect()
            }
        };
        let is_cut = false;
        self.happened.push(Happened { at, length, racer, nodes, names, kind, met, is_cut });
        Ok(())
    }

    /// Lets something go wrong, if it is time.
    pub fn blow(&mut self, racers: &[Racer; 2]) -> Result<()> {
        if Instant::now() < self.next {
            return Ok(());
        }
        self.next = Instant::now() + self.dice.between(PAUSE.0, PAUSE.1);
        let kind = self.dice.below(KINDS.len() as u64) as usize;
        let length = self.dice.between(LENGTH.0, LENGTH.1);
        let length = self.length(kind, length);
        let racer = self.dice.below(2) as usize;
        let nodes: &[usize] = match self.dice.below(BOTH) {
            0 => self.nodes(kind),
            number if number % 2 == 0 => &[0],
            _ => &[1],
        };
        self.inject(racers, racer, nodes, kind, length)
    }

    /// How many were met and answered; and those that were met and not answered.
    pub fn answers(&self, lines: &[Vec<Line>; 2]) -> (String, Vec<String>) {
        let (mut met, mut answered, mut silent) = (0, 0, Vec::new());
        for one in &self.happened {
            if one.met() == 0 {
                continue;
            }
            met += 1;
            if !one.answers(&lines[one.racer]).is_empty() {
                answered += 1;
            } else if KINDS[one.kind].1 == Wants::Words && !one.is_cut {
                silent.push(format!("{} at {:.1} s", self.name(one.kind), one.at.as_secs_f64()));
            }
        }
        let seen = format!(
            "{} faults, {met} met: {answered} with an answer in the log, {} that need none, {} \
             without",
            self.happened.len(),
            met - answered - silent.len(),
            silent.len()
        );
        (seen, silent)
    }

    /// One line for each kind.
    pub fn table(&self, lines: &[Vec<Line>; 2]) -> String {
        let mut text =
            String::from("  times   met  calls  kind, and what was done about it (how often)\n");
        for (kind, (_, wants)) in KINDS.iter().enumerate() {
            let all = self.happened.iter().filter(|one| one.kind == kind);
            let (mut times, mut met, mut calls) = (0, 0, 0);
            let mut said = BTreeMap::<&str, usize>::new();
            for one in all {
                times += 1;
                met += usize::from(one.met() > 0);
                calls += one.met();
                if one.met() > 0 {
                    let answers = one.answers(&lines[one.racer]);
                    answers.into_keys().for_each(|answer| *said.entry(answer).or_default() += 1);
                }
            }
            let _ = writeln!(
                text,
                "  {times:>5} {met:>5} {calls:>6}  {}: {}",
                self.name(kind),
                words(&said, *wants)
            );
        }
        text
    }

    /// One line for each fault.
    pub fn lines(&self, lines: &[Vec<Line>; 2]) -> String {
        let mut text = String::from(
            "\nEvery fault: second, keeper, its nodes, seconds it lasted, calls or messages that \
             met it, kind, and what the keeper said\n",
        );
        for one in &self.happened {
            let nodes: Vec<&str> = one.nodes.iter().map(|node| ["a", "b"][*node]).collect();
            let _ = write!(
                text,
                "{:.1} {} {} {:.1} {} {}: ",
                one.at.as_secs_f64(),
                one.racer + 1,
                nodes.concat(),
                one.length.as_secs_f64(),
                one.met(),
                self.name(one.kind)
            );
            if one.met() == 0 {
                text.push_str("not met\n");
                continue;
            }
            text.push_str(&words(&one.answers(&lines[one.racer]), KINDS[one.kind].1));
            text.push('\n');
        }
        text
    }
}

fn words(said: &BTreeMap<&str, usize>, wants: Wants) -> String {
    let all: Vec<String> = said.iter().map(|(what, count)| format!("{what} ({count})")).collect();
    match (all.is_empty(), wants) {
        (true, Wants::Nothing(why)) => why.to_owned(),
        (true, Wants::Words) => "nothing".to_owned(),
        (false, _) => all.join(", "),
    }
}
