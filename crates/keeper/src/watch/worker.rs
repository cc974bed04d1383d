//! From a plan to its fate, one after the other, on a thread of its own.
//!
//! Nobody is asked anything before the bytes are on their way: accounts, blockhash
//! and programs came with the job or are in the machine already.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, bail};
use flash_liquidator_client::decode::{Decoded, Outcome};
use solana_message::AddressLookupTableAccount;
use tracing::info;

use super::{parts::Parts, trials::Trials};
use crate::{
    build::{
        plan::Plan,
        simulation::{Stage, liquidated},
    },
    feeds::{
        blockhash::Blockhash,
        source::{Rpc, Source},
        told,
    },
    keys::Key,
    land::{
        attempt::{Sent, send_signed},
        deliver::{Signed, Way, sign},
        roads::Road,
    },
    ledger::{Ticket, records::Records},
};

/// A liquidation to try.
pub struct Job {
    pub plan: Box<Plan>,
    pub tables: Vec<AddressLookupTableAccount>,
    /// Accounts for trying it here, unless it is not to be tried.
    pub stage: Option<Stage>,
    pub blockhash: Option<Blockhash>,
    /// When the update came that led to it.
    pub heard: Instant,
    /// Its row in the ledger.
    pub ticket: Option<Ticket>,
}

/// How a job ended.
pub enum Ended {
    /// It was executed, or simulated where nothing was sent; the signature of what
    /// was sent.
    Attempted { decoded: Box<Decoded>, signature: Option<String>, landing: Option<Landing> },
    /// Nothing was tried here, and nothing is sent: it is ready, and that is all.
    Ready { bytes: usize },
    /// It would have been sent, but it was too late to begin.
    HeldBack,
    /// It failed; whether it was sent before.
    Failed(anyhow::Error),
}

/// How a transaction came into a block.
#[derive(Clone, Copy, Debug)]
pub struct Landing {
    pub slot: u64,
    /// Lamports.
    pub fee: u64,
    /// Lamports in accounts that it created.
    pub rent: u64,
    pub units: Option<u64>,
    /// From the update that led to it to signed bytes.
    pub update_to_bytes: Duration,
    /// From then until the node shows it.
    pub bytes_to_landed: Duration,
}

/// What workers share.
pub struct Shared {
    pub source: Arc<dyn Source>,
    pub key: Arc<Key>,
    pub roads: Vec<Road>,
    /// Sign and send.
    pub send: bool,
    /// Begin nothing more.
    pub stop: Arc<AtomicBool>,
    /// Asked before anything is sent.
    pub records: Arc<Records>,
    /// The newest slot that is known.
    pub slot: AtomicU64,
    /// Where plans are tried before.
    pub trials: Trials,
}

impl Shared {
    /// What workers need of the loop's parts.
    ///
    /// # Errors
    /// Those of [`Trials::new`].
    pub fn new(parts: &Parts, stop: &Arc<AtomicBool>) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            source: Arc::clone(&parts.source),
            key: Arc::clone(&parts.key),
            roads: parts.roads.clone(),
            send: parts.config.send,
            stop: Arc::clone(stop),
            records: Arc::clone(&parts.records),
            slot: AtomicU64::new(0),
            trials: Trials::new(parts.config.workers)?,
        }))
    }
}

/// Threads that work, and the way to them. They end with the jobs.
pub struct Workers {
    pub jobs: Sender<Job>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts `count` of them; `done` hears how each job ended.
    pub fn start(
        count: usize,
        shared: &Arc<Shared>,
        done: impl Fn(Box<Plan>, Ended) + Clone + Send + 'static,
    ) -> Self {
        let (jobs, received) = mpsc::channel::<Job>();
        let received = Arc::new(Mutex::new(received));
        let threads = (0..count)
            .map(|_| {
                let (received, shared, done) =
                    (Arc::clone(&received), Arc::clone(shared), done.clone());
                thread::spawn(move || work_all(&received, shared, &done))
            })
            .collect();
        Self { jobs, threads }
    }

    /// No threads: jobs come out, for a [`Worker`] at hand.
    pub fn none() -> (Self, Receiver<Job>) {
        let (jobs, received) = mpsc::channel();
        (Self { jobs, threads: Vec::new() }, received)
    }

    /// Waits until all have ended.
    pub fn join(self) -> Result<()> {
        drop(self.jobs);
        for thread in self.threads {
            thread.join().map_err(|_| anyhow!("a worker broke down"))?;
        }
        Ok(())
    }
}

fn work_all(
    received: &Mutex<Receiver<Job>>,
    shared: Arc<Shared>,
    done: &impl Fn(Box<Plan>, Ended),
) {
    let mut worker = Worker::new(shared);
    loop {
        let job = match received.lock() {
            Ok(received) => received.recv(),
            Err(_) => return,
        };
        let Ok(job) = job else { return };
        let (plan, ended) = worker.take(job);
        done(plan, ended);
    }
}

/// Takes jobs to their end, one after the other.
pub struct Worker {
    shared: Arc<Shared>,
    /// The row of what it works on.
    ticket: Option<Ticket>,
}

impl Worker {
    /// One that has done nothing yet.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, ticket: None }
    }

    /// Does a job; returns its plan as it was decided on, and how it ended.
    pub fn take(&mut self, job: Job) -> (Box<Plan>, Ended) {
        let Job { plan, tables, stage, blockhash, heard, ticket } = job;
        self.ticket = ticket;
        let mut decided = plan.clone();
        let ended = told("the worker", || {
            self.work(&mut decided, &tables, stage.as_ref(), blockhash, heard)
        });
        (plan, ended.unwrap_or_else(Ended::Failed))
    }

    fn work(
        &mut self,
        plan: &mut Plan,
        tables: &[AddressLookupTableAccount],
        stage: Option<&Stage>,
        blockhash: Option<Blockhash>,
        heard: Instant,
    ) -> Result<Ended> {
        let simulated =
            stage.map(|stage| self.shared.trials.simulate(plan, stage, tables)).transpose()?;
        if let Some(simulation) = simulated {
            let (decoded, units) = (Box::new(simulation.decoded), simulation.units);
            if decoded.outcome != Outcome::Succeeded {
                return Ok(Ended::Attempted { decoded, signature: None, landing: None });
            }
            plan.limit_units(units)?;
            if let Some(event) = liquidated(&decoded) {
                plan.check_profit(event.profit)?;
            }
            if !self.shared.send {
                // What sending would meet besides: a transaction that does not fit, a key
                // that does not sign. Without tables nothing fits, which was said.
                if !tables.is_empty() {
                    self.sign(plan, tables, blockhash, heard)?;
                }
                return Ok(Ended::Attempted { decoded, signature: None, landing: None });
            }
        }
        let signed = self.sign(plan, tables, blockhash, heard)?;
        let Some(rpc) = self.shared.source.rpc().filter(|_| self.shared.send) else {
            return Ok(Ended::Ready { bytes: signed.bytes.len() });
        };
        self.send(rpc, plan, signed, heard.elapsed())
    }

    fn sign(
        &self,
        plan: &Plan,
        tables: &[AddressLookupTableAccount],
        blockhash: Option<Blockhash>,
        heard: Instant,
    ) -> Result<Signed> {
        let blockhash = match (blockhash, self.shared.send) {
            (Some(blockhash), _) => blockhash,
            (None, false) => Blockhash::default(),
            (None, true) => bail!("no blockhash is known yet"),
        };
        let deadline = plan.terms().deadline_slot;
        let signed = sign(&self.shared.key, &plan.instructions()?, tables, blockhash, deadline)?;
        info!(
            obligation = %plan.obligation(),
            signature = signed.signature,
            micros = u64::try_from(heard.elapsed().as_micros()).unwrap_or(u64::MAX),
            bytes = signed.bytes.len(),
            units = plan.compute_budget.unit_limit,
            least_profit = plan.terms().min_profit,
            lamports = plan.costs.total(),
            "signed"
        );
        Ok(signed)
    }

    fn send(
        &self,
        rpc: &Rpc,
        plan: &Plan,
        signed: Signed,
        update_to_bytes: Duration,
    ) -> Result<Ended> {
        let since = Instant::now();
        let shared = &self.shared;
        let way = Way { rpc, roads: &shared.roads, slot: &|| shared.slot.load(Ordering::Relaxed) };
        let signature = signed.signature.clone();
        let may_send = || {
            !shared.stop.load(Ordering::Relaxed) && shared.records.may_send(self.ticket, &signature)
        };
        Ok(match send_signed(&way, plan, signed, &may_send)? {
            Sent::Executed(report) => {
                let landing = Landing {
                    slot: report.slot,
                    fee: report.fee,
                    rent: report.rent,
                    units: report.units,
                    update_to_bytes,
                    bytes_to_landed: since.elapsed(),
                };
                Ended::Attempted {
                    decoded: Box::new(report.decoded),
                    signature: report.signature,
                    landing: Some(landing),
                }
            }
            Sent::Rejected(decoded) => Ended::Attempted { decoded, signature: None, landing: None },
            Sent::HeldBack => Ended::HeldBack,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use anyhow::Context as _;
    use klend_fork::{Machine, World};
    use klend_model::time::Clock;
    use solana_account::Account;
    use solana_address::Address;
    use solana_signer::Signer as _;

    use super::*;
    use crate::{
        build::{
            plan::{Fees, Least, Wishes},
            simulation::simulate,
        },
        feeds::source::{BuiltinFork, Filter, KLEND, Progress, Visitor},
        ledger::metrics::Metrics,
        route::{
            fees::{Offer, priority_fee},
            frozen::{Frozen, Selling},
            position::{Position, Search},
            terms::TooLittle,
        },
    };

    /// The built-in fork, which breaks down when it is first asked whether it is a node.
    pub(crate) struct Rotten {
        fork: BuiltinFork,
        was_asked: AtomicBool,
    }

    impl Rotten {
        pub(crate) fn new() -> Self {
            Self { fork: BuiltinFork::new().unwrap(), was_asked: AtomicBool::new(false) }
        }
    }

    impl Source for Rotten {
        fn name(&self) -> String {
            self.fork.name()
        }

        fn clock(&self) -> Result<Clock> {
            self.fork.clock()
        }

        fn accounts_at(&self, keys: &[Address]) -> Result<(u64, Vec<Option<Account>>)> {
            self.fork.accounts_at(keys)
        }

        fn program_accounts(
            &self,
            program: &Address,
            filter: Filter,
        ) -> Result<Vec<(Address, Account)>> {
            self.fork.program_accounts(program, filter)
        }

        fn visit_obligations(&self, market: &Address, it: Progress, visit: Visitor) -> Result<()> {
            self.fork.visit_obligations(market, it, visit)
        }

        fn world(&self, keys: &[Address]) -> Result<World> {
            self.fork.world(keys)
        }

        fn rpc(&self) -> Option<&Rpc> {
            assert!(self.was_asked.swap(true, Ordering::Relaxed), "a test's");
            None
        }
    }

    fn wishes() -> Wishes {
        Wishes {
            search: Search { max_fee_bps: 10, loan_margin_bps: 5, ..Search::default() },
            slippage_bps: 50,
            tolerance_bps: 2_500,
            least: Least::Usd(0.0),
            fees: Fees::Stated { offer: Offer { unit_price: 0, tip: 0 }, tip_account: None },
            deadline_slots: 32,
            sol_usd: None,
            dont_front: None,
            jupiter: None,
            tables: Vec::new(),
            simulates: true,
        }
    }

    fn plan(source: &dyn Source, keeper: &Address) -> Result<Plan> {
        planned(source, keeper).map(|(plan, _)| plan)
    }

    /// A plan for the obligation of the fork that can be liquidated, and what it is tried on.
    pub(crate) fn planned(source: &dyn Source, keeper: &Address) -> Result<(Plan, Stage)> {
        let filter = Filter::at_least(klend_model::accounts::OBLIGATION_LEN);
        let mut refused = None;
        for (key, account) in source.program_accounts(&KLEND, filter)? {
            if klend_model::accounts::obligation(&key, &account.owner, &account.data).is_err() {
                continue;
            }
            let frozen = Frozen::read(source, &key, &Selling::default(), keeper)?;
            let view = frozen.view(None)?;
            let position = Position::new(&view, &key, &frozen.obligation, &wishes().search)?;
            match Plan::new(&position, keeper, &wishes(), 0, 0) {
                Ok(plan) => return Stage::new(&view, &plan, true).map(|stage| (plan, stage)),
                Err(reason) => refused = Some(reason),
            }
        }
        Err(refused.context("there is no obligation")?)
    }

    /// By the estimate of its compute units it costs more than is quoted, and by those that a
    /// simulation uses it does not.
    #[test]
    fn what_pays_only_at_what_it_really_costs_is_tried_and_signed() {
        let (fork, keeper) = (BuiltinFork::new().unwrap(), Key::simulated().pubkey());
        let key = *plan(&fork, &keeper).unwrap().obligation();
        let frozen = Frozen::read(&fork, &key, &Selling::default(), &keeper).unwrap();
        let view = frozen.view(None).unwrap();
        let search = wishes().search;
        let position = Position::new(&view, &key, &frozen.obligation, &search).unwrap();
        let decided = |unit_price, simulates| {
            let fees = Fees::Stated { offer: Offer { unit_price, tip: 0 }, tip_account: None };
            Plan::new(&position, &keeper, &Wishes { fees, simulates, ..wishes() }, 0, 0)
        };
        let is_too_little = |refusal: &anyhow::Error| refusal.is::<TooLittle>();
        // The highest price of a unit at which it pays by the estimate.
        let (mut pays, mut fails) = (0, 1u64 << 40);
        while fails - pays > 1 + pays / 10_000 {
            let middle = pays + (fails - pays) / 2;
            match decided(middle, false) {
                Ok(_) => pays = middle,
                Err(_) => fails = middle,
            }
        }
        let dearer = pays / 10 * 13;
        assert!(is_too_little(&decided(dearer, false).err().unwrap()));
        let mut plan = decided(dearer, true).unwrap();
        assert!(is_too_little(&plan.check_unsimulated().unwrap_err()));
        let estimated = plan.compute_budget.unit_limit.unwrap();
        let stage = Stage::new(&view, &plan, true).unwrap();
        let mut machine = Machine::new(fork.world(&stage.programs).unwrap());
        let simulation = simulate(&mut machine, &plan, &stage, &[]).unwrap();
        assert_eq!(simulation.decoded.outcome, Outcome::Succeeded);
        // Of what it was shown the machine keeps nothing: it would grow by each obligation.
        for key in plan.mentioned().unwrap() {
            let kept = machine.world().account(&key);
            assert!(
                kept.is_none_or(|it| it.executable || it.owner == solana_sdk_ids::sysvar::ID),
                "{key}"
            );
        }
        plan.limit_units(simulation.units).unwrap();
        let (signed, cost) = (plan.terms().min_profit, plan.cost.unwrap());
        assert!(signed >= i64::try_from(cost).unwrap());
        let limit = plan.compute_budget.unit_limit.unwrap();
        assert_eq!(plan.compute_budget.unit_price, dearer);
        assert_eq!(plan.costs.priority_fee, priority_fee(dearer, limit));
        let event = liquidated(&simulation.decoded).unwrap();
        plan.check_profit(event.profit).unwrap();
        assert!(is_too_little(&plan.check_profit(signed - 1).unwrap_err()));
        // Dearer still: the simulation says that it does not pay, and then it need not be
        // asked.
        let too_dear = pays / u64::from(limit) * u64::from(estimated) / 100 * 102;
        let refusal = decided(too_dear, true).unwrap().limit_units(simulation.units).unwrap_err();
        assert!(is_too_little(&refusal), "{refusal}");
        assert!(is_too_little(&decided(pays * 20, true).err().unwrap()));
    }

    /// Block engines look for the account in the transaction; the transfer that it stands at
    /// takes no notice of it.
    #[test]
    fn the_account_that_asks_for_nobody_in_front_stands_at_the_tip() {
        let (fork, keeper) = (BuiltinFork::new().unwrap(), Key::simulated().pubkey());
        let key = *plan(&fork, &keeper).unwrap().obligation();
        let [tipped, dont_front] = [3, 4].map(|byte| Address::new_from_array([byte; 32]));
        let mut frozen = Frozen::read(&fork, &key, &Selling::default(), &keeper).unwrap();
        frozen.read_more(&fork, &[tipped, dont_front]).unwrap();
        let view = frozen.view(None).unwrap();
        let search = wishes().search;
        let position = Position::new(&view, &key, &frozen.obligation, &search).unwrap();
        let decided = |lamports| {
            let offer = Offer { unit_price: 0, tip: lamports };
            let fees = Fees::Stated { offer, tip_account: Some(tipped) };
            let wishes = Wishes { fees, dont_front: Some(dont_front), ..wishes() };
            Plan::new(&position, &keeper, &wishes, 0, 0).unwrap()
        };
        let plan = decided(1_000_000);
        let last = plan.instructions().unwrap().pop().unwrap();
        let named: Vec<(Address, bool)> =
            last.accounts.iter().map(|meta| (meta.pubkey, meta.is_writable)).collect();
        assert_eq!(named, [(keeper, true), (tipped, true), (dont_front, false)]);
        let stage = Stage::new(&view, &plan, true).unwrap();
        let mut machine = Machine::new(fork.world(&stage.programs).unwrap());
        let simulation = simulate(&mut machine, &plan, &stage, &[]).unwrap();
        assert_eq!(simulation.decoded.outcome, Outcome::Succeeded);
        // Without a tip nobody is asked for anything.
        assert!(!decided(0).mentioned().unwrap().contains(&dont_front));
    }

    #[test]
    fn a_worker_that_panics_fails_its_job_and_takes_the_next() {
        let source = Arc::new(Rotten::new());
        let key = Key::simulated();
        let plan = plan(&*source, &key.pubkey()).unwrap();
        let addresses = plan.mentioned().unwrap();
        let table = AddressLookupTableAccount { key: Address::new_unique(), addresses };
        let shared = Shared {
            source,
            key: Arc::new(key),
            roads: Vec::new(),
            send: false,
            stop: Arc::default(),
            records: Arc::new(Records::new(Arc::new(Metrics::new()), None)),
            slot: AtomicU64::new(0),
            trials: Trials::new(1).unwrap(),
        };
        let (sender, ended) = mpsc::channel();
        let done = move |_: Box<Plan>, ended: Ended| drop(sender.send(ended));
        let workers = Workers::start(1, &Arc::new(shared), done);
        for _ in 0..2 {
            let job = Job {
                plan: Box::new(plan.clone()),
                tables: vec![table.clone()],
                stage: None,
                blockhash: None,
                heard: Instant::now(),
                ticket: None,
            };
            workers.jobs.send(job).unwrap();
        }
        let Ended::Failed(reason) = ended.recv().unwrap() else { panic!("it did not fail") };
        assert_eq!(reason.to_string(), "the worker broke down");
        assert!(matches!(ended.recv().unwrap(), Ended::Ready { .. }));
        workers.join().unwrap();
    }
}
