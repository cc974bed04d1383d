//! Getting a signed transaction executed, once.
//!
//! One transaction is signed and the same bytes are sent again and again: the
//! cluster executes a signature at most once. Nothing that goes wrong on the way
//! makes a second transaction, and the first one is not given up on before it can
//! only fail: when its deadline has passed, or, without one, when the blockhash it
//! carries is too old.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use flash_liquidator_client::{
    budget::{check_v0, compile_v0},
    decode::{Decoded, Executed, decode},
    transaction::wire_bytes,
};
use solana_address::Address;
use solana_instruction::Instruction;
use solana_message::AddressLookupTableAccount;
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;
use tracing::{info, warn};

use super::{
    report::Report,
    roads::{Answer, Convoy, Road},
};
use crate::{
    feeds::{
        blockhash::Blockhash,
        source::{Rpc, Seen, Status, nodes::Whom},
    },
    keys::Key,
};

/// Pause between two looks at a transaction that was sent.
const POLL: Duration = Duration::from_millis(250);
/// The same for roads' first answers.
const LISTEN: Duration = Duration::from_millis(5);
/// Pause between two times the same bytes are sent.
const RESEND: Duration = Duration::from_secs(1);
/// Blocks or slots beyond the last one a transaction is valid in until it counts as
/// expired: nodes behind one address may differ in how far they are.
const EXPIRY_MARGIN: u64 = 8;
/// How long a node may be silent about a transaction that was sent.
const SILENCE: Duration = Duration::from_secs(120);
/// Longest that a slot takes. Mainnet's take half of it.
const SLOWEST: Duration = Duration::from_millis(400);
/// Longest a node may take to say what became of it, before another one is asked.
pub const NEWS: Duration = Duration::from_secs(2);
/// The same once it is confirmed, or nothing can come of it any more.
const SHOWN: Duration = Duration::from_secs(10);

/// A transaction was sent, and whether it was executed is not known.
#[derive(Debug, thiserror::Error)]
#[error(
    "{signature} was sent and may have been executed: {reason}; look it up with `keeper explain {signature}`"
)]
pub struct Unknown {
    pub signature: String,
    reason: String,
}

/// A transaction was sent, did not land, and cannot do anything any more.
#[derive(Debug, thiserror::Error)]
#[error("{signature} expired without landing: {why}; quote again")]
pub struct Expired {
    pub signature: String,
    why: String,
}

/// Nothing was sent: the deadline had passed.
#[derive(Debug, thiserror::Error)]
#[error("nothing was sent: its deadline, slot {0}, has passed; quote again")]
pub struct Late(pub u64);

/// Where transactions go, and who tells what became of them.
pub struct Way<'a> {
    /// Tells what was confirmed.
    pub rpc: &'a Rpc,
    /// Where the bytes are sent, all at once.
    pub roads: &'a [Road],
    /// The newest slot that is known.
    pub slot: &'a dyn Fn() -> u64,
}

/// What became of instructions.
pub enum Delivered {
    /// They were executed, well or not, in the transaction of this signature.
    Landed(String),
    /// The node's simulation failed and nothing was sent.
    Rejected(Box<Decoded>),
    /// It was too late to begin.
    HeldBack,
}

/// A transaction that is ready to be sent.
pub struct Signed {
    pub signature: String,
    pub bytes: Vec<u8>,
    /// Last slot in which it may do anything; 0 for none.
    pub deadline_slot: u64,
    /// What its life hangs on.
    blockhash: Blockhash,
}

impl Signed {
    /// Whether it can only fail at this slot.
    fn is_late(&self, slot: u64) -> bool {
        self.deadline_slot != 0 && slot > self.deadline_slot
    }
}

/// Slots that pass in a time at least.
fn slots_in(time: Duration) -> u64 {
    u64::try_from(time.as_millis() / SLOWEST.as_millis()).unwrap_or(u64::MAX)
}

/// Signs instructions as one v0 transaction.
///
/// # Errors
/// It does not fit, or the key does not sign.
pub fn sign(
    key: &Key,
    instructions: &[Instruction],
    tables: &[AddressLookupTableAccount],
    blockhash: Blockhash,
    deadline_slot: u64,
) -> Result<Signed> {
    check_v0(&key.pubkey(), instructions, tables, None)?;
    let message = compile_v0(&key.pubkey(), instructions, tables, blockhash.hash)?;
    let transaction = VersionedTransaction::try_new(message, &[key])
        .context("the transaction cannot be signed")?;
    let signature =
        transaction.signatures.first().context("the transaction has no signature")?.to_string();
    let signatures: Vec<[u8; 64]> =
        transaction.signatures.iter().map(|signature| (*signature).into()).collect();
    Ok(Signed {
        signature,
        bytes: wire_bytes(&signatures, &transaction.message),
        deadline_slot,
        blockhash,
    })
}

impl Way<'_> {
    /// Signs with a new blockhash, simulates on the node, and sends until the
    /// transaction is confirmed or cannot be any more.
    ///
    /// # Errors
    /// [`Unknown`] when it was sent and its fate could not be learned; otherwise
    /// nothing was executed.
    pub fn deliver(
        &self,
        key: &Key,
        instructions: &[Instruction],
        tables: &[AddressLookupTableAccount],
        deadline_slot: u64,
    ) -> Result<Delivered> {
        // Neither answer is worth more time than the deadline leaves.
        let left = deadline_slot.saturating_sub((self.slot)()).try_into().unwrap_or(u32::MAX);
        let bounded = (deadline_slot != 0).then(|| self.rpc.within(NEWS.max(SLOWEST * left)));
        let rpc = bounded.as_ref().unwrap_or(self.rpc);
        let blockhash = rpc.latest_blockhash()?;
        let signed = sign(key, instructions, tables, blockhash, deadline_slot)?;
        let simulated = rpc.simulate(&signed.bytes)?;
        if simulated.error.is_some() {
            let programs: Vec<Address> = instructions.iter().map(|ix| ix.program_id).collect();
            let executed = Executed {
                error: simulated.error.as_ref(),
                logs: &simulated.logs,
                programs: &programs,
            };
            return Ok(Delivered::Rejected(Box::new(decode(&executed, None))));
        }
        self.send(signed, &|| true)
    }

    /// Sends a transaction until it is confirmed or cannot be any more. `may_send` is
    /// asked last of all before it is sent for the first time. After its deadline it is not
    /// sent at all.
    ///
    /// # Errors
    /// [`Expired`]; [`Unknown`] when it was sent and its fate could not be learned;
    /// otherwise nothing was executed.
    pub fn send(&self, signed: Signed, may_send: &dyn Fn() -> bool) -> Result<Delivered> {
        if signed.is_late((self.slot)()) || !may_send() {
            return Ok(Delivered::HeldBack);
        }
        let mut convoy = Convoy::new(self.roads, signed.bytes.clone());
        convoy.send();
        let fate = self.follow(&signed, &mut convoy);
        let fates = convoy.fates();
        let landed = matches!(fate, Ok(Delivered::Landed(_)));
        for (road, answer) in fates {
            let (answer, code) = match answer {
                Some(Answer::Accepted(_)) => ("accepted", None),
                Some(Answer::Refused { code, .. }) => ("refused", Some(code)),
                Some(Answer::Failed(_)) => ("failed", None),
                None => ("silent", None),
            };
            info!(signature = signed.signature, road, answer, code, landed, "road");
        }
        fate
    }

    /// Waits until a transaction that was sent is confirmed or can only fail.
    fn follow(&self, signed: &Signed, convoy: &mut Convoy<'_>) -> Result<Delivered> {
        let signature = &*signed.signature;
        let teller = &self.rpc.within(NEWS);
        let (mut sent, mut heard) = (Instant::now(), Instant::now());
        let (mut now, mut seen, mut moved) = (0, 0, Instant::now());
        loop {
            pause(convoy, signature);
            if let Some((code, message)) = convoy.refused() {
                bail!("nothing was sent: refused by every road, lastly with {code}: {message}");
            }
            now = now.max((self.slot)());
            if now > seen {
                (seen, moved) = (now, Instant::now());
            }
            // From its deadline on it can only fail, and cost its fee. Before anybody is asked
            // for news, who may take his time. While nobody tells of slots they pass as well, if
            // one is known at all.
            let is_late = signed.is_late(now + slots_in(moved.elapsed()).min(now));
            if sent.elapsed() >= RESEND && !is_late {
                convoy.send();
                sent = Instant::now();
            }
            match news(teller, signed, &mut now) {
                Ok(News::Confirmed) => return Ok(Delivered::Landed(signature.to_owned())),
                Ok(News::Over { slot, why }) => {
                    // It may have been confirmed between the two answers, and who gave the
                    // second may be behind who gave the first.
                    match teller.status(signature, Whom::Another) {
                        Ok(Status { seen: Seen::Confirmed | Seen::Finalized, .. }) => {
                            return Ok(Delivered::Landed(signature.to_owned()));
                        }
                        Ok(Status { slot: told, seen: Seen::Nowhere }) if told >= slot => {
                            return Err(Expired { signature: signature.to_owned(), why }.into());
                        }
                        Ok(Status { slot: told, .. }) => {
                            info!(signature, slot, told, "not over yet by the second answer");
                        }
                        Err(error) => warn!(signature, reason = format!("{error:#}"), "no news"),
                    }
                }
                Ok(News::Waiting) => heard = Instant::now(),
                Err(error) => {
                    warn!(signature, reason = format!("{error:#}"), "no news");
                    let is_over = signed.is_late(now.saturating_sub(EXPIRY_MARGIN));
                    if heard.elapsed() >= if is_over { SHOWN } else { SILENCE } {
                        let reason = format!("{error:#}");
                        return Err(Unknown { signature: signature.to_owned(), reason }.into());
                    }
                }
            }
        }
    }
}

/// What a node says of a transaction. `now` is the newest slot that is known.
fn news(teller: &Rpc, signed: &Signed, now: &mut u64) -> Result<News> {
    let Status { slot, seen } = teller.status(&signed.signature, Whom::Any)?;
    *now = (*now).max(slot);
    match seen {
        Seen::Confirmed | Seen::Finalized => return Ok(News::Confirmed),
        // In a block, it may yet be confirmed, whatever the time.
        Seen::Processed => return Ok(News::Waiting),
        Seen::Nowhere => {}
    }
    if signed.is_late(slot.saturating_sub(EXPIRY_MARGIN)) {
        let why = format!("slot {slot}, its deadline was {}", signed.deadline_slot);
        return Ok(News::Over { slot, why });
    }
    let (slot, height) = teller.now()?;
    *now = (*now).max(slot);
    if signed.blockhash.is_over(slot, height, EXPIRY_MARGIN) {
        let last = signed.blockhash.last_valid_height;
        let why = format!("block {height} at slot {slot}, valid up to block {last}");
        return Ok(News::Over { slot, why });
    }
    Ok(News::Waiting)
}

/// What the node says of a transaction that was sent.
enum News {
    Confirmed,
    /// It was not there at this slot, and can only fail; why.
    Over {
        slot: u64,
        why: String,
    },
    Waiting,
}

/// Waits a moment and hears what roads say.
fn pause(convoy: &mut Convoy<'_>, signature: &str) {
    let until = Instant::now() + POLL;
    while Instant::now() < until {
        for (road, answer) in convoy.listen() {
            match answer {
                Answer::Accepted(name) => info!(signature, road, name, "accepted"),
                Answer::Refused { code, message, cure } => {
                    warn!(signature, road, code, said = message, ?cure, "refused");
                }
                Answer::Failed(reason) => warn!(signature, road, reason, "sending failed"),
            }
        }
        if convoy.refused().is_some() {
            return;
        }
        thread::sleep(LISTEN);
    }
}

/// Waits until a confirmed transaction is finalized; `false` when it took too long or
/// the node could not tell, which makes it no less confirmed.
pub fn wait_for_finality(rpc: &Rpc, signature: &str) -> bool {
    let (begun, teller) = (Instant::now(), rpc.within(NEWS));
    loop {
        match teller.status(signature, Whom::Any) {
            Ok(Status { seen: Seen::Finalized, .. }) => return true,
            Ok(_) => {}
            Err(error) => warn!(signature, reason = format!("{error:#}"), "no news"),
        }
        if begun.elapsed() >= SILENCE {
            return false;
        }
        thread::sleep(POLL);
    }
}

/// What came of a signature that is confirmed.
///
/// # Errors
/// [`Unknown`] when no node shows it in a way that can be read.
pub fn executed(rpc: &Rpc, signature: &str) -> Result<Report> {
    let (until, teller) = (Instant::now() + SHOWN, rpc.within(NEWS));
    let mut reason = "it is confirmed, but the node does not show it".to_owned();
    while Instant::now() < until {
        match teller.transaction(signature).and_then(|answer| answer.map(Report::read).transpose())
        {
            Ok(Some(report)) => return Ok(report),
            Ok(None) => {}
            Err(error) => {
                reason = format!("it is confirmed; {error:#}");
                warn!(signature, reason, "no news");
            }
        }
        thread::sleep(POLL);
    }
    Err(Unknown { signature: signature.to_owned(), reason }.into())
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use fault_proxy::http;
    use serde_json::{Value, json};

    use super::*;
    use crate::land::roads::Kind;

    /// Some slot.
    const SLOT: u64 = 400_000_000;

    fn signed(deadline_slot: u64) -> Signed {
        Signed {
            signature: "1".to_owned(),
            bytes: Vec::new(),
            deadline_slot,
            blockhash: Blockhash { slot: SLOT, last_valid_height: SLOT, ..Blockhash::default() },
        }
    }

    /// A node of that slot that takes what it is sent, counts it, and says nothing of it.
    fn silent(sent: &Arc<AtomicU64>) -> Rpc {
        let sent = Arc::clone(sent);
        let address = http::serve(move |request| match request["method"].as_str().unwrap() {
            "sendTransaction" => {
                sent.fetch_add(1, Ordering::Relaxed);
                Some(http::Answer::ok(json!({ "result": "1" })))
            }
            _ => Some(http::Answer::error(&request["id"], -32_601, "no such method")),
        });
        Rpc::new(&format!("http://{address}"), Duration::from_secs(5))
    }

    #[test]
    fn nothing_is_sent_for_the_first_time_after_its_deadline() {
        let sent = Arc::default();
        let rpc = silent(&sent);
        let roads = Road::all(Kind::Node, &rpc);
        let way = Way { rpc: &rpc, roads: &roads, slot: &|| SLOT + 1 };
        let held = way.send(signed(SLOT), &|| panic!("it is too late to ask")).unwrap();
        assert!(matches!(held, Delivered::HeldBack));
        assert_eq!(sent.load(Ordering::Relaxed), 0);
    }

    /// Nobody tells of the slot any more: it passes all the same.
    #[test]
    fn a_silent_node_is_not_sent_it_again_and_again_after_the_deadline() {
        let sent = Arc::<AtomicU64>::default();
        let rpc = silent(&sent);
        let roads = Road::all(Kind::Node, &rpc);
        let counted = Arc::clone(&sent);
        thread::spawn(move || {
            let way = Way { rpc: &rpc, roads: &roads, slot: &|| SLOT };
            // Ten slots are four seconds.
            let _ = way.send(signed(SLOT + 10), &|| true);
        });
        thread::sleep(Duration::from_secs(6));
        let so_many = counted.load(Ordering::Relaxed);
        assert!((2..=5).contains(&so_many), "{so_many}");
        thread::sleep(Duration::from_secs(3));
        assert_eq!(counted.load(Ordering::Relaxed), so_many);
    }

    /// What is in a block was executed, however a node shows it: one that keeps no record
    /// of what it did, or writes what cannot be read, is asked again, and in the end that is
    /// not known.
    #[test]
    fn what_is_confirmed_and_cannot_be_read_is_not_known_to_have_failed() {
        let told = |meta: Value| {
            json!({ "slot": SLOT.to_string(), "meta": meta, "transaction": {
                "signatures": ["1"], "message": { "accountKeys": [], "instructions": [] },
            } })
        };
        let bare = json!({ "err": null, "fee": "5000", "computeUnitsConsumed": 7.0 });
        let news = |after: u64, then: Value| {
            let asked = AtomicU64::new(0);
            let address = http::serve(move |_| {
                let is_after = asked.fetch_add(1, Ordering::Relaxed) >= after;
                let answer = if is_after { then.clone() } else { told(Value::Null) };
                Some(http::Answer::ok(json!({ "result": answer })))
            });
            executed(&Rpc::new(&format!("http://{address}"), Duration::from_secs(5)), "1")
        };
        let report = news(2, told(bare)).unwrap();
        assert_eq!((report.slot, report.fee, report.units), (SLOT, 5_000, Some(7)));
        let strange = json!({ "err": { "AnErrorOfTomorrow": 1 }, "fee": 5_000 });
        for told in [told(Value::Null), told(strange)] {
            let error = news(0, told).err().unwrap();
            assert!(error.is::<Unknown>(), "{error:#}");
        }
    }

    /// A node that counts more blocks than there were slots: what it was sent may land
    /// still, and is over only when the slots say so too.
    #[test]
    fn a_height_alone_ends_nothing() {
        let slot = Arc::new(AtomicU64::new(SLOT));
        let told = Arc::clone(&slot);
        let address = http::serve(move |request| {
            let slot = told.load(Ordering::Relaxed);
            let result = match request["method"].as_str().unwrap() {
                "getSignatureStatuses" => json!({ "context": { "slot": slot }, "value": [null] }),
                _ => json!({ "absoluteSlot": slot, "blockHeight": u64::from(u32::MAX) }),
            };
            Some(http::Answer::ok(json!({ "result": result })))
        });
        // Anew each time, for here slots pass faster than is believed.
        let rpc = || Rpc::new(&format!("http://{address}"), Duration::from_secs(5));
        let signed = signed(0);
        let mut now = 0;
        for passed in (0..=150).step_by(15) {
            slot.store(SLOT + passed, Ordering::Relaxed);
            let news = news(&rpc(), &signed, &mut now).unwrap();
            assert!(matches!(news, News::Waiting), "{passed} slots later");
        }
        slot.store(SLOT + 165, Ordering::Relaxed);
        let way = Way { rpc: &rpc(), roads: &[], slot: &|| 0 };
        let Err(error) = way.send(signed, &|| true) else { panic!("it did not expire") };
        assert!(error.is::<Expired>(), "{error:#}");
    }
}
