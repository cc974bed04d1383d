//! An RPC node on loopback: a virtual machine behind Solana's JSON-RPC and
//! websocket subscriptions. It executes what is sent to it.

use std::{
    collections::{BTreeMap, VecDeque},
    io::ErrorKind,
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use fault_proxy::{http, in_dialect};
use flash_liquidator_client::lookup_table;
use klend_fork::{Price, World};
use klend_model::constants::KLEND_PROGRAM_ID;
use liquidation_venues::stand_in;
use serde_json::{Value, json};
use solana_account::Account;
use solana_address::Address;
use solana_message::{
    VersionedMessage, compiled_instruction::CompiledInstruction,
    inner_instruction::InnerInstruction,
};
use solana_signature::Signature;
use solana_transaction::versioned::VersionedTransaction;
use tungstenite::{Error, Message, WebSocket};

const FIRST_HEIGHT: u64 = 1_000;
/// Blocks a blockhash is valid for.
const VALIDITY: u64 = 150;
/// Blocks that pass between two questions about the height, once transactions
/// vanish.
const BLOCKS_PER_QUESTION: u64 = 40;

/// Slots that pass then.
const SLOTS_PER_QUESTION: u64 = 4;

/// What becomes of transactions that are sent to the node.
#[derive(Clone, Debug)]
pub enum Fate {
    /// Executed, and confirmed once the status was asked for that often.
    Executed { after_polls: usize },
    /// Not executed, but reported as failed in klend with this error: what somebody
    /// else's transaction in between would have caused.
    Fails(u32),
    /// Dropped; the blockhash expires.
    Vanishes,
}

/// A transaction that was executed, as `getTransaction` shows it.
struct Record {
    transaction: VersionedTransaction,
    error: Value,
    logs: Vec<String>,
    units: u64,
    slot: u64,
    polls: usize,
    /// Addresses out of lookup tables, writable and read.
    loaded: [Vec<Address>; 2],
    /// Calls of each instruction, as the node shows them.
    inner: Value,
    /// The keeper has been told that it is finalized.
    finalized: bool,
}

struct State {
    world: Mutex<World>,
    genesis: String,
    fate: Fate,
    keeps_logs: bool,
    refuses: Option<i64>,
    /// Times it refuses, if not for good.
    refusals: AtomicUsize,
    shows_processed: bool,
    dialect: bool,
    /// The code that lists of other programs' accounts than klend's are refused with.
    lists: Mutex<Option<i64>>,
    /// Most accounts in a call, and the answer to more.
    most: Mutex<Option<(usize, i64)>>,
    /// Slots that are among the recent ones beside the last, as where many were skipped.
    recent: Mutex<Vec<u64>>,
    /// Sockets stand, and tell nothing.
    silent: AtomicBool,
    records: Mutex<BTreeMap<String, Record>>,
    /// Signatures in the order they first came.
    signatures: Mutex<Vec<String>>,
    height: AtomicUsize,
    sent: AtomicUsize,
    bundles: AtomicUsize,
    /// Methods and their parameters, in the order they were called.
    calls: Mutex<Vec<(String, Value)>>,
    /// Nothing is answered but what sends transactions and tells of them.
    mute: AtomicBool,
    sockets: Mutex<Vec<Socket>>,
    refuse_sockets: AtomicBool,
}

/// A websocket's subscriptions and the way to it.
struct Socket {
    subscriptions: Arc<Mutex<Vec<Subscription>>>,
    outgoing: Sender<Outgoing>,
}

enum Outgoing {
    Text(String),
    Close,
}

struct Subscription {
    number: u64,
    subject: Subject,
}

enum Subject {
    Account(Address),
    Program(Address, Value),
}

/// A running node. Its threads end with the test process.
pub struct Node {
    url: String,
    websocket: String,
    state: Arc<State>,
}

/// A node's settings.
pub struct Options {
    pub fate: Fate,
    pub genesis: &'static str,
    /// Whether logs are kept: `getTransaction` shows them.
    pub keeps_logs: bool,
    /// Transactions are refused with this code.
    pub refuses: Option<i64>,
    /// How often, before they are taken.
    pub refusals: usize,
    /// Until a transaction is confirmed, it is shown as processed, not as unknown.
    pub shows_processed: bool,
    /// Numbers and messages are written as others write them.
    pub dialect: bool,
}

/// Genesis hash of mainnet.
pub const MAINNET: &str = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d";

impl Default for Options {
    fn default() -> Self {
        Self {
            fate: Fate::Executed { after_polls: 0 },
            genesis: MAINNET,
            keeps_logs: true,
            refuses: None,
            refusals: usize::MAX,
            shows_processed: false,
            dialect: false,
        }
    }
}

impl Node {
    /// A transaction as it is shown.
    pub fn shown(&self, signature: &str) -> Value {
        self.state.result("getTransaction", &json!([signature]))
    }

    /// Serves `folder`.
    pub fn serve(folder: &Path) -> Self {
        Self::with(folder, Options::default())
    }

    /// The same with settings.
    pub fn with(folder: &Path, options: Options) -> Self {
        let state = Arc::new(State {
            world: Mutex::new(World::from_folder(folder).unwrap()),
            genesis: options.genesis.to_owned(),
            fate: options.fate,
            keeps_logs: options.keeps_logs,
            refuses: options.refuses,
            refusals: AtomicUsize::new(options.refusals),
            shows_processed: options.shows_processed,
            dialect: options.dialect,
            lists: Mutex::default(),
            most: Mutex::default(),
            recent: Mutex::default(),
            silent: AtomicBool::new(false),
            records: Mutex::default(),
            signatures: Mutex::default(),
            height: AtomicUsize::new(FIRST_HEIGHT as usize),
            sent: AtomicUsize::new(0),
            bundles: AtomicUsize::new(0),
            calls: Mutex::default(),
            mute: AtomicBool::new(false),
            sockets: Mutex::default(),
            refuse_sockets: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        let address = http::serve(move |request| shared.answer(request));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let websocket = format!("ws://{}", listener.local_addr().unwrap());
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                thread::spawn(move || state.talk(stream));
            }
        });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            loop {
                thread::sleep(HEARTBEAT);
                let (slot, clock) = {
                    let world = shared.world();
                    (world.slot(), world.account(&solana_sdk_ids::sysvar::clock::ID))
                };
                clock.iter().for_each(|clock| {
                    shared.tell(&solana_sdk_ids::sysvar::clock::ID, clock, slot);
                });
            }
        });
        Self { url: format!("http://{address}"), websocket, state }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// URL of the websocket.
    pub fn websocket(&self) -> &str {
        &self.websocket
    }

    /// How many different transactions were sent.
    pub fn signatures(&self) -> usize {
        self.state.signatures.lock().unwrap().len()
    }

    /// The signature of what was sent last.
    pub fn last_signature(&self) -> Option<String> {
        self.state.signatures.lock().unwrap().last().cloned()
    }

    /// Whether the keeper has been told that what it sent last is finalized.
    pub fn told_finality(&self) -> bool {
        let signatures = self.state.signatures.lock().unwrap();
        let records = self.state.records.lock().unwrap();
        signatures.last().and_then(|last| records.get(last)).is_some_and(|record| record.finalized)
    }

    /// How often `sendTransaction` was called.
    pub fn sent(&self) -> usize {
        self.state.sent.load(Ordering::SeqCst)
    }

    /// How often `sendBundle` was called.
    pub fn bundles(&self) -> usize {
        self.state.bundles.load(Ordering::SeqCst)
    }

    /// How often a method was called.
    pub fn calls(&self, method: &str) -> usize {
        self.calls_since(0).iter().filter(|(called, _)| called == method).count()
    }

    /// How often an account was read.
    pub fn reads_of(&self, key: &Address) -> usize {
        let key = json!(key.to_string());
        let names = |params: &Value| params[0].as_array().is_some_and(|keys| keys.contains(&key));
        self.calls_since(0).iter().filter(|(_, params)| names(params)).count()
    }

    /// What was called after the first so many calls.
    pub fn calls_since(&self, count: usize) -> Vec<(String, Value)> {
        self.state.calls.lock().unwrap()[count..].to_vec()
    }

    /// Answers nothing any more, or again, but what sends transactions and tells what
    /// became of them.
    pub fn mute(&self, is_mute: bool) {
        self.state.mute.store(is_mute, Ordering::SeqCst);
    }

    /// The machine behind the node.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.state.world()
    }

    /// Gives a key 100 SOL.
    pub fn fund(&self, key: &Address) {
        let wallet = Account {
            lamports: 100_000_000_000,
            owner: solana_sdk_ids::system_program::ID,
            ..Account::default()
        };
        self.world().set_account(key, wallet).unwrap();
    }

    /// Lets a reserve's price become `per_cent` of what it is, a slot later, and
    /// tells subscribers.
    pub fn scale_price(&self, reserve: &Address, per_cent: u64) {
        {
            let mut world = self.world();
            world.warp_slots(1);
            let price: Price = world.price(reserve).unwrap().scaled(per_cent, 100).unwrap();
            world.set_price(reserve, price).unwrap();
        }
        self.tell_oracle(reserve);
    }

    /// Tells subscribers of a reserve's oracle as it is.
    pub fn tell_oracle(&self, reserve: &Address) {
        let key = self.world().reserve_addresses(reserve).unwrap().oracles.scope.unwrap();
        self.tell(&key);
    }

    /// Tells subscribers of an account as it is.
    pub fn tell(&self, key: &Address) {
        let (slot, account) = {
            let world = self.world();
            (world.slot(), world.account(key).unwrap())
        };
        self.tell_as(key, &account, slot);
    }

    /// Lets slots pass, and tells subscribers what time it is.
    pub fn pass_slots(&self, slots: u64) {
        self.world().warp_slots(slots);
        self.tell(&solana_sdk_ids::sysvar::clock::ID);
    }

    /// Tells subscribers of an account as it may be.
    pub fn tell_as(&self, key: &Address, account: &Account, slot: u64) {
        self.state.tell(key, account, slot);
    }

    /// Takes no more accounts in a call than these; the answer to more has this code, or
    /// HTTP's status.
    pub fn limit(&self, most: usize, code: i64) {
        *self.state.most.lock().unwrap() = Some((most, code));
    }

    /// Lists the accounts of no other programs than klend's and the stand-in venue's.
    pub fn list_only_klend(&self, code: i64) {
        *self.state.lists.lock().unwrap() = Some(code);
    }

    /// Lets these slots be among the recent ones, too.
    pub fn keep_recent(&self, slots: &[u64]) {
        *self.state.recent.lock().unwrap() = slots.to_vec();
    }

    /// Keeps sockets open and tells nothing by them any more, or again.
    pub fn silence(&self, is_silent: bool) {
        self.state.silent.store(is_silent, Ordering::SeqCst);
    }

    /// Loses the subscriptions to programs' accounts of the sockets that there are.
    pub fn lose_programs(&self) {
        for socket in &*self.state.sockets.lock().unwrap() {
            let mut subscriptions = socket.subscriptions.lock().unwrap();
            subscriptions.retain(|one| !matches!(one.subject, Subject::Program(..)));
        }
    }

    /// How many websockets have made all their subscriptions to klend's accounts and
    /// what goes with them: at least `least`.
    pub fn subscribers(&self, least: usize) -> usize {
        let sockets = self.state.sockets.lock().unwrap();
        let is_of_klend = |socket: &&Socket| {
            let subscriptions = socket.subscriptions.lock().unwrap();
            let is_program =
                |subscription: &Subscription| matches!(subscription.subject, Subject::Program(..));
            subscriptions.len() >= least && subscriptions.iter().any(is_program)
        };
        sockets.iter().filter(is_of_klend).count()
    }

    /// Closes all websockets and, until told otherwise, takes no new ones.
    pub fn cut(&self, refuse: bool) {
        self.state.refuse_sockets.store(refuse, Ordering::SeqCst);
        for socket in self.state.sockets.lock().unwrap().drain(..) {
            let _ = socket.outgoing.send(Outgoing::Close);
        }
    }

    /// Takes new websockets again.
    pub fn accept(&self) {
        self.state.refuse_sockets.store(false, Ordering::SeqCst);
    }
}

/// Pause between two notifications of the clock.
const HEARTBEAT: Duration = Duration::from_millis(100);

fn wire(account: &Account) -> Value {
    json!({
        "lamports": account.lamports,
        "data": [STANDARD.encode(&account.data), "base64"],
        "owner": account.owner.to_string(),
        "executable": account.executable,
        "rentEpoch": account.rent_epoch,
        "space": account.data.len(),
    })
}

/// Whether an account passes `memcmp` filters; no other is asked for.
fn passes(filters: &Value, data: &[u8]) -> bool {
    filters.as_array().unwrap().iter().all(|filter| {
        let memcmp = &filter["memcmp"];
        let offset = memcmp["offset"].as_u64().unwrap() as usize;
        let bytes = bs58::decode(memcmp["bytes"].as_str().unwrap()).into_vec().unwrap();
        data.get(offset..).is_some_and(|tail| tail.starts_with(&bytes))
    })
}

fn address(value: &Value) -> Address {
    value.as_str().unwrap().parse().unwrap()
}

/// A transaction from its bytes.
fn transaction(encoded: &Value) -> VersionedTransaction {
    let bytes = STANDARD.decode(encoded.as_str().unwrap()).unwrap();
    assert!(bytes.len() <= 1_232, "{} bytes", bytes.len());
    let (count, rest) = bytes.split_first().unwrap();
    let (signatures, message) = rest.split_at(64 * usize::from(*count));
    let signatures = signatures
        .chunks(64)
        .map(|bytes| Signature::from(<[u8; 64]>::try_from(bytes).unwrap()))
        .collect();
    let message: VersionedMessage = bincode::deserialize(message).unwrap();
    VersionedTransaction { signatures, message }
}

impl State {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    fn answer(&self, request: &Value) -> Option<http::Answer> {
        const FOR_SENDING: [&str; 4] =
            ["sendTransaction", "sendBundle", "getSignatureStatuses", "getTransaction"];
        let (method, params) = (request["method"].as_str().unwrap_or_default(), &request["params"]);
        self.calls.lock().unwrap().push((method.to_owned(), params.clone()));
        if self.mute.load(Ordering::SeqCst) && !FOR_SENDING.contains(&method) {
            return None;
        }
        let id = &request["id"];
        if let ("sendTransaction" | "sendBundle", Some(code)) = (method, self.refuses)
            && self
                .refusals
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                .is_ok()
        {
            return Some(http::Answer::error(id, code, "no"));
        }
        if let ("getMultipleAccounts", Some((most, code))) = (method, *self.most.lock().unwrap())
            && params[0].as_array().unwrap().len() > most
        {
            return Some(http::Answer::error(id, code, "too many"));
        }
        if let ("getProgramAccounts", Some(code)) = (method, *self.lists.lock().unwrap())
            && ![KLEND_PROGRAM_ID, stand_in::PROGRAM_ID].contains(&address(&params[0]))
        {
            return Some(http::Answer::error(id, code, "excluded from the index"));
        }
        let mut result = self.result(method, params);
        if self.dialect {
            in_dialect(&mut result);
            let answer = json!({ "id": null, "result": result, "error": null, "usage": 1.5 });
            return Some(http::Answer::ok(answer));
        }
        Some(http::Answer::ok(json!({ "jsonrpc": "2.0", "id": id, "result": result })))
    }

    fn result(&self, method: &str, params: &Value) -> Value {
        let context = json!({ "slot": self.world().slot() });
        match method {
            "getMultipleAccounts" => {
                let mut world = self.world();
                let hashes = json!(solana_sdk_ids::sysvar::slot_hashes::ID.to_string());
                if params[0].as_array().unwrap().contains(&hashes) {
                    self.remember_slot(&mut world);
                }
                let slice = &params[1]["dataSlice"];
                let accounts: Vec<Value> = params[0]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|key| {
                        let account = world.account(&address(key));
                        account.map_or(Value::Null, |account| sliced(&account, slice))
                    })
                    .collect();
                json!({ "context": context, "value": accounts })
            }
            "getProgramAccounts" => {
                let mut accounts = self.world().svm().get_program_accounts(&address(&params[0]));
                accounts.retain(|(_, account)| passes(&params[1]["filters"], &account.data));
                let accounts: Value = accounts
                    .iter()
                    .map(|(key, account)| {
                        let account = sliced(account, &params[1]["dataSlice"]);
                        json!({ "pubkey": key.to_string(), "account": account })
                    })
                    .collect();
                // Not every node knows of contexts.
                if params[1]["withContext"] == true && !self.dialect {
                    json!({ "context": context, "value": accounts })
                } else {
                    accounts
                }
            }
            "getHealth" => json!("ok"),
            "getRecentPrioritizationFees" => json!([
                { "slot": 1, "prioritizationFee": 0 },
                { "slot": 2, "prioritizationFee": 700 },
                { "slot": 3, "prioritizationFee": 90_000 },
            ]),
            "getTipAccounts" => json!([crate::sending::TIP_ACCOUNT]),
            "getTokenAccountsByOwner" => {
                let (owner, program) = (address(&params[0]), address(&params[1]["programId"]));
                let mut accounts = self.world().svm().get_program_accounts(&program);
                accounts.retain(|(_, account)| {
                    account.data.len() >= 165 && account.data[32..64] == *owner.as_ref()
                });
                let value: Vec<Value> = accounts
                    .iter()
                    .map(|(key, account)| {
                        json!({ "pubkey": key.to_string(), "account": wire(account) })
                    })
                    .collect();
                json!({ "context": context, "value": value })
            }
            "getGenesisHash" => json!(self.genesis),
            "getLatestBlockhash" => {
                let blockhash = self.world().svm().latest_blockhash();
                let height = self.height.load(Ordering::SeqCst) as u64;
                json!({ "context": context, "value": {
                    "blockhash": blockhash.to_string(), "lastValidBlockHeight": height + VALIDITY
                }})
            }
            "getEpochInfo" => {
                let step = match self.fate {
                    Fate::Vanishes => BLOCKS_PER_QUESTION as usize,
                    _ => 1,
                };
                let height = self.height.fetch_add(step, Ordering::SeqCst);
                if matches!(self.fate, Fate::Vanishes) {
                    self.world().warp_slots(SLOTS_PER_QUESTION);
                }
                json!({ "absoluteSlot": self.world().slot(), "blockHeight": height })
            }
            "simulateTransaction" => self.simulate(&params[0], &context),
            "sendTransaction" => {
                self.sent.fetch_add(1, Ordering::SeqCst);
                json!(self.take(&params[0]))
            }
            "sendBundle" => {
                self.bundles.fetch_add(1, Ordering::SeqCst);
                let [only] = &params[0].as_array().unwrap()[..] else { panic!("{params}") };
                json!(format!("bundle of {}", self.take(only)))
            }
            "getSignatureStatuses" => {
                let mut records = self.records.lock().unwrap();
                let status = records.get_mut(params[0][0].as_str().unwrap()).and_then(|record| {
                    record.polls += 1;
                    let unconfirmed = match self.fate {
                        Fate::Executed { after_polls } => after_polls,
                        _ => 0,
                    };
                    // Two questions after it was confirmed.
                    record.finalized = record.polls > unconfirmed + 2;
                    let is_confirmed = record.polls > unconfirmed;
                    let status = match (record.finalized, is_confirmed) {
                        (true, _) => "finalized",
                        (false, true) => "confirmed",
                        (false, false) => "processed",
                    };
                    (is_confirmed || self.shows_processed).then(|| {
                        json!({
                            "slot": record.slot, "err": record.error,
                            "confirmationStatus": status,
                        })
                    })
                });
                json!({ "context": context, "value": [status] })
            }
            "getSignaturesForAddress" => {
                let records = self.records.lock().unwrap();
                let mut listed: Vec<Value> = records
                    .iter()
                    .map(|(signature, record)| {
                        json!({
                            "signature": signature, "slot": record.slot, "err": record.error,
                        })
                    })
                    .collect();
                listed.sort_by_key(|listed| std::cmp::Reverse(listed["slot"].as_u64()));
                let before = &params[1]["before"];
                let at = listed.iter().position(|listed| listed["signature"] == *before);
                json!(listed.split_off(at.map_or(0, |at| at + 1)))
            }
            "getTransaction" => {
                let records = self.records.lock().unwrap();
                let record = records.get(params[0].as_str().unwrap());
                let mut shown = record.map_or(Value::Null, Record::shown);
                if record.is_some() && !self.keeps_logs {
                    shown["meta"]["logMessages"] = Value::Null;
                }
                shown
            }
            other => panic!("the keeper called {other}"),
        }
    }

    /// Executes a copy of the machine without looking at signatures.
    fn simulate(&self, encoded: &Value, context: &Value) -> Value {
        let mut transaction = transaction(encoded);
        let mut svm = {
            let mut world = self.world();
            self.remember_slot(&mut world);
            world.svm().clone().with_sigverify(false)
        };
        transaction.message.set_recent_blockhash(svm.latest_blockhash());
        let (error, meta) = match svm.send_transaction(transaction) {
            Ok(meta) => (Value::Null, meta),
            Err(failed) => (serde_json::to_value(failed.err).unwrap(), failed.meta),
        };
        json!({ "context": context, "value": {
            "err": error, "logs": meta.logs, "unitsConsumed": meta.compute_units_consumed,
        }})
    }

    /// Takes a transaction, executes it once if that is its fate, and answers with
    /// its signature.
    fn take(&self, encoded: &Value) -> String {
        let transaction = transaction(encoded);
        let signature = transaction.signatures[0].to_string();
        let mut signatures = self.signatures.lock().unwrap();
        if signatures.contains(&signature) {
            return signature;
        }
        signatures.push(signature.clone());
        drop(signatures);
        let mut world = self.world();
        let slot = world.slot();
        let loaded = loaded(&world, &transaction);
        let mut inner = json!([]);
        let known = world.svm().get_program_accounts(&KLEND_PROGRAM_ID);
        let (error, logs, units) = match &self.fate {
            Fate::Vanishes => return signature,
            Fate::Fails(code) => {
                let message = &transaction.message;
                let keys = message.static_account_keys();
                let of_klend = message
                    .instructions()
                    .iter()
                    .position(|ix| keys[usize::from(ix.program_id_index)] == KLEND_PROGRAM_ID);
                let error = json!({ "InstructionError": [of_klend, { "Custom": code }] });
                (error, Vec::new(), 0)
            }
            Fate::Executed { .. } => {
                self.remember_slot(&mut world);
                let result = world.svm().send_transaction(transaction.clone());
                // Later transactions are of a later slot.
                world.warp_slots(1);
                match result {
                    Ok(meta) => {
                        inner = calls(&meta.inner_instructions);
                        (Value::Null, meta.logs, meta.compute_units_consumed)
                    }
                    Err(failed) => (
                        serde_json::to_value(failed.err).unwrap(),
                        failed.meta.logs,
                        failed.meta.compute_units_consumed,
                    ),
                }
            }
        };
        let mut touched: Vec<(Address, Account)> = transaction
            .message
            .static_account_keys()
            .iter()
            .filter_map(|key| Some((*key, world.account(key)?)))
            .collect();
        // klend's are looked up in a table.
        for (key, before) in known {
            let after = world.account(&key).filter(|after| *after != before);
            touched.extend(after.map(|after| (key, after)));
        }
        drop(world);
        let (polls, finalized) = (0, false);
        let record =
            Record { transaction, error, logs, units, slot, polls, loaded, inner, finalized };
        self.records.lock().unwrap().insert(signature.clone(), record);
        for (key, account) in touched {
            self.tell(&key, &account, slot);
        }
        signature
    }

    /// Lets the slot before this one be among the recent ones, as it is on a cluster.
    fn remember_slot(&self, world: &mut World) {
        let recent = self.recent.lock().unwrap();
        let mut data = (1 + recent.len() as u64).to_le_bytes().to_vec();
        for slot in [world.slot() - 1].iter().chain(&*recent) {
            data.extend(slot.to_le_bytes());
            data.extend([7; 32]);
        }
        data.resize(SLOT_HASHES_LEN, 0);
        let account =
            Account { lamports: 1, data, owner: solana_sdk_ids::sysvar::ID, ..Account::default() };
        world.set_account(&solana_sdk_ids::sysvar::slot_hashes::ID, account).unwrap();
    }

    /// A websocket until it is closed.
    fn talk(&self, stream: TcpStream) {
        if self.refuse_sockets.load(Ordering::SeqCst) {
            return;
        }
        let Ok(mut socket) = tungstenite::accept(stream) else { return };
        socket.get_ref().set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        let (outgoing, queued) = mpsc::channel();
        let subscriptions: Arc<Mutex<Vec<Subscription>>> = Arc::default();
        self.sockets
            .lock()
            .unwrap()
            .push(Socket { subscriptions: Arc::clone(&subscriptions), outgoing });
        let _ = converse(&mut socket, &subscriptions, &queued, self.dialect);
    }

    fn tell(&self, key: &Address, account: &Account, slot: u64) {
        if self.silent.load(Ordering::SeqCst) {
            return;
        }
        for socket in &*self.sockets.lock().unwrap() {
            for Subscription { number, subject } in &*socket.subscriptions.lock().unwrap() {
                let (method, value) = match subject {
                    Subject::Account(wanted) if wanted == key => {
                        ("accountNotification", wire(account))
                    }
                    Subject::Program(program, filters)
                        if *program == account.owner && passes(filters, &account.data) =>
                    {
                        let value = json!({ "pubkey": key.to_string(), "account": wire(account) });
                        ("programNotification", value)
                    }
                    _ => continue,
                };
                let mut notification = json!({ "jsonrpc": "2.0", "method": method, "params": {
                    "subscription": number,
                    "result": { "context": { "slot": slot }, "value": value },
                }});
                if self.dialect {
                    in_dialect(&mut notification);
                    notification["params"]["subscription"] = json!(number.to_string());
                    let ping = json!({ "jsonrpc": "2.0", "method": "ping", "id": null });
                    for between in [ping.to_string(), "pong".to_owned()] {
                        let _ = socket.outgoing.send(Outgoing::Text(between));
                    }
                }
                let _ = socket.outgoing.send(Outgoing::Text(notification.to_string()));
            }
        }
    }
}

fn converse(
    socket: &mut WebSocket<TcpStream>,
    subscriptions: &Mutex<Vec<Subscription>>,
    queued: &Receiver<Outgoing>,
    dialect: bool,
) -> tungstenite::Result<()> {
    let mut confirmations: VecDeque<Value> = VecDeque::new();
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => {
                let request: Value = serde_json::from_str(&text).unwrap();
                let params = &request["params"];
                let subject = match request["method"].as_str().unwrap() {
                    "accountSubscribe" => Subject::Account(address(&params[0])),
                    "programSubscribe" => {
                        Subject::Program(address(&params[0]), params[1]["filters"].clone())
                    }
                    other => panic!("the keeper subscribed by {other}"),
                };
                let mut subscriptions = subscriptions.lock().unwrap();
                let number = 100 + subscriptions.len() as u64;
                subscriptions.push(Subscription { number, subject });
                let (mut id, mut result) = (request["id"].clone(), json!(number));
                if dialect {
                    (id, result) = (json!(id.to_string()), json!(number.to_string()));
                }
                confirmations.push_back(json!({ "jsonrpc": "2.0", "id": id, "result": result }));
            }
            Ok(_) => {}
            Err(Error::Io(error))
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
        for confirmation in confirmations.drain(..) {
            socket.send(Message::text(confirmation.to_string()))?;
        }
        for outgoing in queued.try_iter() {
            match outgoing {
                Outgoing::Text(text) => socket.send(Message::text(text))?,
                // Without a goodbye, as when a cable is pulled.
                Outgoing::Close => return Ok(()),
            }
        }
    }
}

/// Bytes of the sysvar of recent slots: 512 slots with their hashes.
const SLOT_HASHES_LEN: usize = 8 + 512 * 40;

fn sliced(account: &Account, slice: &Value) -> Value {
    let mut shown = wire(account);
    if let (Some(offset), Some(length)) = (slice["offset"].as_u64(), slice["length"].as_u64()) {
        let from = (offset as usize).min(account.data.len());
        let to = (from + length as usize).min(account.data.len());
        shown["data"][0] = json!(STANDARD.encode(&account.data[from..to]));
    }
    shown
}

fn compiled(ix: &CompiledInstruction) -> Value {
    json!({
        "programIdIndex": ix.program_id_index,
        "accounts": ix.accounts,
        "data": bs58::encode(&ix.data).into_string(),
    })
}

/// The calls that were made, as a node shows them.
fn calls(all: &[Vec<InnerInstruction>]) -> Value {
    let shown = all.iter().enumerate().map(|(index, calls)| {
        let calls = calls.iter().map(|call| {
            let mut shown = compiled(&call.instruction);
            shown["stackHeight"] = json!(call.stack_height);
            shown
        });
        json!({ "index": index, "instructions": calls.collect::<Vec<_>>() })
    });
    shown.collect()
}

/// What a transaction looks up: all that is written first, then what is read.
fn loaded(world: &World, transaction: &VersionedTransaction) -> [Vec<Address>; 2] {
    let mut loaded = [Vec::new(), Vec::new()];
    for lookup in transaction.message.address_table_lookups().unwrap_or_default() {
        let key = lookup.account_key;
        // Another node may not have it.
        let Some(account) = world.account(&key) else { continue };
        let table = lookup_table::read(&key, &account.owner, &account.data).unwrap();
        let of = |indexes: &[u8]| -> Vec<Address> {
            indexes.iter().map(|index| table.addresses[usize::from(*index)]).collect()
        };
        loaded[0].extend(of(&lookup.writable_indexes));
        loaded[1].extend(of(&lookup.readonly_indexes));
    }
    loaded
}

impl Record {
    fn shown(&self) -> Value {
        let message = &self.transaction.message;
        let keys: Vec<String> =
            message.static_account_keys().iter().map(ToString::to_string).collect();
        let instructions: Vec<Value> = message.instructions().iter().map(compiled).collect();
        let [writable, readonly] = self
            .loaded
            .each_ref()
            .map(|keys| keys.iter().map(ToString::to_string).collect::<Vec<_>>());
        json!({
            "slot": self.slot,
            // A Wednesday.
            "blockTime": 1_795_564_800,
            "transaction": {
                "signatures": [self.transaction.signatures[0].to_string()],
                "message": { "accountKeys": keys, "instructions": instructions },
            },
            "meta": {
                "err": self.error,
                "fee": 5_000,
                "logMessages": self.logs,
                "computeUnitsConsumed": self.units,
                "innerInstructions": self.inner,
                "loadedAddresses": { "writable": writable, "readonly": readonly },
            },
        })
    }
}
