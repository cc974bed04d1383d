use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, mpsc},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::json;
use solana_address::Address;
use solana_sdk_ids::sysvar;

use super::{Context, print_json};
use crate::{
    book::{market::Market, scan::scan},
    cli::{SourceArgs, VerifyArgs},
    feeds::{
        feed::{self, Update, Wanted},
        source::{Rpc, Source as _, read_clock},
        websocket::NodeSocket,
    },
    format::{Section, bad, good},
    judge::state::State,
    klend::Identity,
    verify::{
        case::Case,
        checker::Comparer,
        collector::Collector,
        tally::{Summary, Tally},
    },
};

/// Longest nothing may be told.
const SILENCE: Duration = Duration::from_secs(30);
/// Updates that may wait.
const CAPACITY: usize = 16_384;
/// Slots behind the last one, in which the rest of it is told.
const REST: u64 = 4;

/// `keeper verify`; fails when model and klend differ.
pub fn run(
    context: Option<&Context>,
    args: &VerifyArgs,
    source: &SourceArgs,
    json: bool,
) -> Result<()> {
    let (about, summary) = match (&args.folder, args.blocks, context) {
        (Some(folder), ..) => {
            let cases = Case::read_all(folder, source.klend)?;
            let versions: BTreeSet<&str> = cases.iter().map(|case| case.klend.name()).collect();
            let named: Vec<&str> = versions.into_iter().collect();
            let tally = Arc::new(Tally::new(format!("by the rules of {}", named.join(", "))));
            let mut comparer = Comparer::new(None, Arc::clone(&tally), None, None, false);
            cases.iter().for_each(|case| drop(comparer.take(case)));
            (format!("{}: {} cases", folder.display(), cases.len()), tally.summary())
        }
        (None, Some(blocks), Some(context)) => {
            let rpc = context.source.rpc().context(
                "--blocks needs an RPC node: nothing happens in a fork; give a folder of \
                 recorded cases instead",
            )?;
            let summary = follow(context, rpc, &args.market, blocks, args.out.as_deref())?;
            (format!("{blocks} slots of market {}", args.market), summary)
        }
        _ => bail!("give --blocks N with --rpc, or a folder of recorded cases"),
    };
    if json {
        print_json(&json!({ "verified": about, "summary": summary }))?;
    } else {
        println!("{about}");
        print_summary(&summary);
    }
    match summary.differed() {
        0 => Ok(()),
        differed => Err(anyhow!("the model and klend differ: {differed} times")),
    }
}

/// Counts of agreement and difference.
pub fn print_summary(summary: &Summary) {
    let mut section = Section::new("Model against chain");
    section.row("klend", &summary.klend);
    for rule in summary.rules.iter().filter(|rule| rule.agreed + rule.differed > 0) {
        let text = format!("{} agreed, {} differed", rule.agreed, rule.differed);
        section.row(&rule.rule, if rule.differed == 0 { good(&text) } else { bad(&text) });
    }
    let why = summary.last_left_out.as_ref().map(|reason| format!(" (last: {reason})"));
    section.row("left out", format!("{}{}", summary.left_out, why.unwrap_or_default()));
    if summary.dropped > 0 {
        section.row("not looked at", bad(&format!("{}: too many at once", summary.dropped)));
    }
    for reserve in &summary.differing {
        section.row("differs", bad(&format!("{}: {}", reserve.reserve, reserve.reason)));
    }
    section.print();
}

/// Follows a market through the node's websocket for so many slots.
fn follow(
    context: &Context,
    rpc: &Rpc,
    market: &Address,
    blocks: u64,
    out: Option<&Path>,
) -> Result<Summary> {
    let source = &context.source;
    let identity = Identity::read(&**source)?;
    rpc.take_for(identity.version(context.klend));
    let tally = Arc::new(Tally::new(identity.describe(rpc.klend()?)));
    let record = out.map(Path::to_owned);
    let mut comparer =
        Comparer::new(Some(Arc::clone(source)), Arc::clone(&tally), None, record, out.is_some());

    let accounts = Market::load(&**source, market)?.single_keys()?;
    let wanted = Wanted { markets: vec![*market], accounts, ..Wanted::default() };
    let (sender, updates) = mpsc::sync_channel(CAPACITY);
    let socket = Box::new(NodeSocket::new(rpc.websocket_url()?, SILENCE / 2));
    let take = move |update| sender.try_send(update).is_ok();
    let _feed = feed::start(vec![socket], wanted, Arc::clone(rpc.horizon()), take);
    let mut followed: Option<(State, Collector)> = None;
    let (mut first, mut newest) = (None, 0);
    while first.is_none_or(|first| newest < first + blocks + REST) {
        let update = updates
            .recv_timeout(SILENCE)
            .map_err(|_| anyhow!("the node told nothing for {} s", SILENCE.as_secs()))?;
        match update {
            // What was written before the subscription is not told, and so read after it.
            Update::Connected => {
                let state = State::new(scan(&**source, market, true)?, 0.0)?;
                followed = Some((state, Collector::default()));
            }
            Update::Lost { reason, .. } => {
                eprintln!("updates broke off: {reason}");
                followed = None;
            }
            Update::Account { key, version, account } => {
                let Some((state, collector)) = &mut followed else { continue };
                if key == sysvar::clock::ID {
                    newest = newest.max(read_clock(&account.data)?.slot);
                    first.get_or_insert(newest);
                }
                if state.concerns(&key, &account) {
                    collector.hear(state, &key, version, &account);
                    state.apply(&key, version, account)?;
                }
                for case in collector.due(state)? {
                    comparer.take(&case);
                }
            }
        }
    }
    Ok(tally.summary())
}
