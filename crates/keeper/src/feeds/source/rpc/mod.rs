//! RPC nodes as a source: accounts in batches and lists that are believed, whichever of
//! the nodes answers.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use klend_fork::{Programs, Snapshot, World};
use klend_model::{
    constants::{KLEND_PROGRAM_ID, SCOPE_PROGRAM_ID},
    time::Clock,
    version::KlendVersion,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use solana_account::Account;
use solana_address::Address;
use solana_sdk_ids::{address_lookup_table, sysvar};
use tracing::warn;

use super::{
    Filter, Progress, Source, Visitor,
    call::{Cure, Refused},
    nodes::{Node, Nodes, Role, Whom},
    read_clock,
};
use crate::feeds::horizon::Horizon;

mod chain;
mod wire;

pub use chain::{Seen, Sent, Simulated, Status};
use wire::{Answer, Keyed, Listed, parse_address};
pub use wire::{WireAccount, program_data_address, wire_filters};

/// Accounts one `getMultipleAccounts` may ask for.
const BATCH: usize = 100;
/// Calls that were taken in a row until more accounts are tried at a time.
const PATIENCE: usize = 200;
/// Longest a node may take to answer, unless told otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// Obligations that may be closed between a list of them and the look at them, if that is
/// more than a tenth.
const CLOSED: usize = 3;

/// Programs that have accounts of every kind that is asked for, or whose accounts would be
/// made, and paid for, once more.
const DOUBTED: [Address; 3] = [KLEND_PROGRAM_ID, SCOPE_PROGRAM_ID, address_lookup_table::ID];
/// Bytes of a program data account that say when it was deployed: tag and slot.
const PROGRAM_DATA_HEADER: usize = 12;

/// The RPC nodes of a cluster.
pub struct Rpc {
    nodes: Nodes,
    /// The newest slot that an answer or an update was of. Nodes may differ, and so may
    /// those behind one address.
    horizon: Arc<Horizon>,
    /// Accounts one call asks for: as many as nodes have taken, and how often in a row.
    batch: AtomicUsize,
    taken: AtomicUsize,
    /// Programs' code, by program data account. Kept because it is large and
    /// rarely changes; the header, fetched each time, says when it did.
    code: Mutex<BTreeMap<Address, Account>>,
    /// The klend that works on the accounts, once it is known.
    klend: OnceLock<KlendVersion>,
}

impl Rpc {
    /// A node that has `timeout` to answer a call, for everything.
    pub fn new(url: &str, timeout: Duration) -> Self {
        Self::all(&[url], timeout)
    }

    /// Nodes that are all there for everything, the preferred ones first.
    pub fn all<T: AsRef<str>>(urls: &[T], timeout: Duration) -> Self {
        let roles = Role::ALL.map(|(_, role)| role).to_vec();
        let node = |url: &T| Node::new(resolve(url.as_ref()), roles.clone());
        Self::of(urls.iter().map(node).collect(), timeout)
    }

    /// Nodes of one cluster, the preferred ones first, each with so much time to answer.
    pub fn of(nodes: Vec<Node>, timeout: Duration) -> Self {
        Self::over(Nodes::new(nodes, timeout), Arc::default())
    }

    fn over(nodes: Nodes, horizon: Arc<Horizon>) -> Self {
        Self {
            nodes,
            horizon,
            batch: AtomicUsize::new(BATCH),
            taken: AtomicUsize::new(0),
            code: Mutex::default(),
            klend: OnceLock::new(),
        }
    }

    /// These nodes first, then others.
    pub fn with(&self, others: Vec<Node>) -> Self {
        let nodes = self.nodes.iter().map(Node::again).chain(others).collect();
        Self::of(nodes, self.nodes.timeout)
    }

    /// The same nodes over the same connections, each with no more time than that to answer:
    /// for what has a deadline, which a node that hangs must not use up.
    pub fn within(&self, patience: Duration) -> Self {
        Self {
            batch: AtomicUsize::new(self.batch.load(Ordering::Relaxed)),
            klend: self.klend.clone(),
            ..Self::over(self.nodes.within(patience), Arc::clone(&self.horizon))
        }
    }

    /// Each of its nodes that has a role, by itself, with another patience and over
    /// connections of its own.
    pub fn each(&self, role: Role, timeout: Duration) -> Vec<Self> {
        let able = self.nodes.iter().filter(|node| node.has(role));
        able.map(|node| Self::of(vec![node.again()], timeout)).collect()
    }

    /// The preferred node's address.
    fn url(&self) -> &str {
        self.nodes.iter().next().map_or("", |node| &node.endpoint.url)
    }

    /// The newest slot an answer was of.
    pub fn newest(&self) -> u64 {
        self.horizon.newest()
    }

    /// Which slots are believed, here and of updates.
    pub fn horizon(&self) -> &Arc<Horizon> {
        &self.horizon
    }

    /// Where the node tells of changes, by Solana's convention: the same address
    /// as a websocket, one port higher where the port is given.
    pub fn websocket_url(&self) -> Result<String> {
        let (scheme, rest) = match self.url().split_once("://") {
            Some(("http", rest)) => ("ws", rest),
            Some(("https", rest)) => ("wss", rest),
            _ => bail!("{} is no http(s) URL, from which a websocket's follows", self.name()),
        };
        let (authority, path) = rest.find(['/', '?']).map_or((rest, ""), |at| rest.split_at(at));
        let authority = match authority.rsplit_once(':') {
            Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
                let port: u16 = port.parse().with_context(|| format!("port {port}"))?;
                let port = port.checked_add(1).context("there is no port after 65535")?;
                format!("{host}:{port}")
            }
            _ => authority.to_owned(),
        };
        Ok(format!("{scheme}://{authority}{path}"))
    }

    /// Calls a node once, and another one where it fails.
    pub fn call_once<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: &Value,
    ) -> Result<T> {
        self.nodes.call_once((Role::Scan, Whom::Any), method, params, |_| Ok(()))
    }

    /// Calls a node, again or another one where that may help.
    fn call<T: DeserializeOwned>(&self, method: &'static str, params: &Value) -> Result<T> {
        self.nodes.call((Role::Scan, Whom::Any), method, params, |_| Ok(()))
    }

    /// One batch, complete and not older than it may be; with a `head`, no more than so many
    /// first bytes of each account's data.
    fn batch(
        &self,
        keys: &[Address],
        whom: Whom,
        head: Option<usize>,
    ) -> Result<(u64, Vec<Option<Account>>)> {
        let min_slot = self.horizon.oldest();
        let names: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let mut options = json!({
            "encoding": "base64", "commitment": "confirmed", "minContextSlot": min_slot
        });
        if let Some(length) = head {
            options["dataSlice"] = json!({ "offset": 0, "length": length });
        }
        let params = json!([names, options]);
        let judge = |answer: &Answer<Vec<Option<WireAccount>>>| {
            let (there, slot) = (answer.value.len(), answer.context.slot);
            self.horizon.take(slot)?;
            (there == keys.len() && slot >= min_slot).then_some(()).ok_or_else(|| {
                format!(
                    "{there} of {} accounts at slot {slot}, wanted slot {min_slot} or later",
                    keys.len()
                )
            })
        };
        let answer = self.nodes.call((Role::Scan, whom), "getMultipleAccounts", &params, judge)?;
        let accounts = answer
            .value
            .into_iter()
            .map(|account| account.map(WireAccount::decode).transpose())
            .collect::<Result<_>>()?;
        Ok((answer.context.slot, accounts))
    }

    /// Accounts in as many pieces as it takes; providers allow a hundred, or five, or so
    /// many bytes.
    fn batches(
        &self,
        keys: &[Address],
        whom: Whom,
        head: Option<usize>,
    ) -> Result<(u64, Vec<Option<Account>>)> {
        let mut accounts = Vec::with_capacity(keys.len());
        let mut oldest = u64::MAX;
        while accounts.len() < keys.len() {
            let rest = &keys[accounts.len()..];
            let count = self.batch.load(Ordering::Relaxed).min(rest.len());
            match self.batch(&rest[..count], whom, head) {
                Ok((slot, batch)) => {
                    oldest = oldest.min(slot);
                    accounts.extend(batch);
                    if self.taken.fetch_add(1, Ordering::Relaxed) >= PATIENCE {
                        // What made it take less may be over.
                        self.taken.store(0, Ordering::Relaxed);
                        let most = self.batch.load(Ordering::Relaxed).saturating_mul(2);
                        self.batch.store(most.min(BATCH), Ordering::Relaxed);
                    }
                }
                Err(error) if count > 1 && wants_less(&error) => {
                    let smaller = count / 2;
                    warn!(
                        accounts = count,
                        smaller,
                        reason = format!("{error:#}"),
                        "asking for less"
                    );
                    self.batch.fetch_min(smaller, Ordering::Relaxed);
                    self.taken.store(0, Ordering::Relaxed);
                }
                Err(error) => return Err(error),
            }
        }
        Ok((if keys.is_empty() { 0 } else { oldest }, accounts))
    }

    /// A list of a program's accounts. One that is empty is not believed at once of those
    /// that have some.
    fn list(&self, program: &Address, filter: &Filter, sliced: bool) -> Result<Vec<Keyed>> {
        let min_slot = self.horizon.oldest();
        let mut options = json!({
            "encoding": "base64", "commitment": "confirmed", "filters": wire_filters(filter),
            "withContext": true, "minContextSlot": min_slot,
        });
        if sliced {
            options["dataSlice"] = json!({ "offset": 0, "length": 0 });
        }
        let params = json!([program.to_string(), options]);
        let judge = |listed: &Listed<Keyed>| match listed.slot {
            Some(slot) => self.horizon.take_since(slot, min_slot),
            None => Ok(()),
        };
        let ask = |whom| self.nodes.call((Role::Scan, whom), "getProgramAccounts", &params, judge);
        let mut listed: Listed<Keyed> = ask(Whom::Any)?;
        if listed.value.is_empty() && DOUBTED.contains(program) {
            warn!(least = filter.min_len, "no account of this kind: asked again");
            listed = ask(Whom::Another)?;
        }
        Ok(listed.value)
    }

    /// Addresses of a program's accounts, sorted.
    fn list_keys(&self, program: &Address, filter: &Filter) -> Result<Vec<Address>> {
        let listed = self.list(program, filter, true)?;
        let mut keys = listed
            .into_iter()
            .map(|keyed| parse_address(&keyed.pubkey))
            .collect::<Result<Vec<_>>>()?;
        keys.sort_unstable();
        Ok(keys)
    }

    /// Accounts with no more than the first `length` bytes of their data.
    pub fn heads(&self, keys: &[Address], length: usize) -> Result<Vec<Option<Account>>> {
        Ok(self.batches(keys, Whom::Any, Some(length))?.1)
    }

    /// Balances of the token accounts of `owner`, in whole tokens by mint.
    pub fn token_balances(&self, owner: &Address, program: &Address) -> Result<Vec<(String, f64)>> {
        let params = json!([owner.to_string(), { "programId": program.to_string() }, {
            "encoding": "jsonParsed", "commitment": "confirmed"
        }]);
        let answer: Answer<Vec<Value>> = self.call("getTokenAccountsByOwner", &params)?;
        let balance = |account: &Value| {
            let info = account.pointer("/account/data/parsed/info")?;
            let mint = info.get("mint")?.as_str()?.to_owned();
            Some((mint, info.pointer("/tokenAmount/uiAmount")?.as_f64()?))
        };
        Ok(answer.value.iter().filter_map(balance).collect())
    }

    /// Program data accounts, fetched again only where the program was deployed
    /// anew.
    fn code(&self, keys: &[Address]) -> Result<Vec<(Address, Account)>> {
        let headers = self.heads(keys, PROGRAM_DATA_HEADER)?;
        let mut code = self.code.lock().map_err(|_| anyhow!("a thread broke down earlier"))?;
        let is_current = |code: &BTreeMap<Address, Account>, key: &Address, header: &Account| {
            code.get(key).is_some_and(|known| known.data.starts_with(&header.data))
        };
        let stale: Vec<Address> = keys
            .iter()
            .zip(&headers)
            .filter_map(|(key, header)| {
                let header = header.as_ref()?;
                (!is_current(&code, key, header)).then_some(*key)
            })
            .collect();
        for (key, account) in stale.iter().zip(self.accounts(&stale)?) {
            code.remove(key);
            code.extend(account.map(|account| (*key, account)));
        }
        Ok(keys.iter().filter_map(|key| Some((*key, code.get(key)?.clone()))).collect())
    }

    /// Every token account of `owner` under one of the token programs, by two answers: a list
    /// may come short.
    pub fn token_accounts(
        &self,
        owner: &Address,
        program: &Address,
    ) -> Result<Vec<(Address, Account)>> {
        let params = json!([
            owner.to_string(),
            { "programId": program.to_string() },
            { "encoding": "base64", "commitment": "confirmed" },
        ]);
        let oldest = self.horizon.oldest();
        let judge =
            |answer: &Answer<Vec<Keyed>>| self.horizon.take_since(answer.context.slot, oldest);
        let mut found = BTreeMap::new();
        for whom in [Whom::Any, Whom::Another] {
            let whom = (Role::Scan, whom);
            let answer = self.nodes.call(whom, "getTokenAccountsByOwner", &params, judge)?;
            for keyed in answer.value {
                let (key, account) = keyed.decode()?;
                found.insert(key, account);
            }
        }
        Ok(found.into_iter().collect())
    }

    /// Lookup tables whose authority is `authority`, retired ones among them.
    pub fn lookup_tables(&self, authority: &Address) -> Result<Vec<(Address, Account)>> {
        self.program_accounts(&address_lookup_table::ID, Filter::tables(authority))
    }
}

impl Source for Rpc {
    fn name(&self) -> String {
        let names: Vec<&str> = self.nodes.iter().map(|node| &*node.endpoint.name).collect();
        format!("RPC node {}", names.join(", "))
    }

    fn take_for(&self, klend: KlendVersion) {
        let _ = self.klend.set(klend);
    }

    fn klend(&self) -> Result<KlendVersion> {
        Ok(self.klend.get().copied().unwrap_or_default())
    }

    fn clock(&self) -> Result<Clock> {
        read_clock(&self.account("clock sysvar", &sysvar::clock::ID)?.data)
    }

    fn accounts_at(&self, keys: &[Address]) -> Result<(u64, Vec<Option<Account>>)> {
        self.batches(keys, Whom::Any, None)
    }

    fn accounts_elsewhere(&self, keys: &[Address]) -> Result<(u64, Vec<Option<Account>>)> {
        self.batches(keys, Whom::Another, None)
    }

    fn program_accounts(
        &self,
        program: &Address,
        filter: Filter,
    ) -> Result<Vec<(Address, Account)>> {
        let mut accounts = match self.list(program, &filter, false) {
            Ok(listed) => listed.into_iter().map(Keyed::decode).collect::<Result<Vec<_>>>()?,
            Err(error) if wants_less(&error) => {
                warn!(reason = format!("{error:#}"), "asking for addresses first");
                let keys = self.list_keys(program, &filter)?;
                let accounts = self.accounts(&keys)?;
                keys.into_iter().zip(accounts).filter_map(|(key, it)| Some((key, it?))).collect()
            }
            Err(error) => return Err(error),
        };
        accounts.retain(|(_, account)| filter.accepts(&account.data));
        accounts.sort_by_key(|(key, _)| *key);
        Ok(accounts)
    }

    /// Asks for the addresses of obligations that have debt first, and then for
    /// the accounts, a batch at a time.
    fn visit_obligations(
        &self,
        market: &Address,
        progress: Progress,
        visit: Visitor,
    ) -> Result<()> {
        let filter = Filter::indebted(market);
        let keys = self.list_keys(&KLEND_PROGRAM_ID, &filter)?;
        // They may have been closed or repaid in between.
        let take = |slot, keys: &[Address], accounts: Vec<Option<Account>>| {
            let mut lacking = Vec::new();
            for (key, account) in keys.iter().zip(accounts) {
                match account {
                    Some(account) if filter.accepts(&account.data) => visit(slot, key, &account),
                    Some(_) => {}
                    None => lacking.push(*key),
                }
            }
            lacking
        };
        let (mut done, mut gone) = (0, 0);
        for chunk in keys.chunks(BATCH) {
            let (slot, accounts) = self.accounts_at(chunk)?;
            let lacking = take(slot, chunk, accounts);
            if !lacking.is_empty() {
                let (slot, accounts) = self.accounts_elsewhere(&lacking)?;
                gone += take(slot, &lacking, accounts).len();
            }
            done += chunk.len();
            progress(done, keys.len());
        }
        let most = CLOSED.max(keys.len() / 10);
        if gone > most {
            bail!("{gone} of {} obligations that were listed are not shown", keys.len());
        }
        Ok(())
    }

    fn world(&self, keys: &[Address]) -> Result<World> {
        let clock = self.clock()?;
        let mut snapshot = Snapshot {
            slot: clock.slot,
            unix_timestamp: i64::try_from(clock.unix_timestamp)?,
            ..Snapshot::default()
        };
        let mut code = Vec::new();
        for (key, account) in keys.iter().zip(self.accounts(keys)?) {
            let Some(account) = account else { continue };
            if let Some(program_data) = program_data_address(&account) {
                code.push(program_data);
            }
            snapshot.accounts.insert(*key, account);
        }
        snapshot.accounts.extend(self.code(&code)?);
        // Whatever a cluster lacks, its transactions lack too: no stand-ins here.
        Ok(World::from_snapshot(snapshot, &Programs::default())?)
    }

    fn rpc(&self) -> Option<&Rpc> {
        Some(self)
    }
}

/// A node's address, from one of the names that Solana's own tools know.
fn resolve(url: &str) -> &str {
    match url {
        "mainnet" | "mainnet-beta" | "m" => "https://api.mainnet-beta.solana.com",
        "devnet" | "d" => "https://api.devnet.solana.com",
        "localhost" | "l" => "http://127.0.0.1:8899",
        url => url,
    }
}

/// Whether a call was too large for a node.
fn wants_less(error: &anyhow::Error) -> bool {
    let refused = error.chain().find_map(|cause| cause.downcast_ref::<Refused>());
    refused.is_some_and(|refused| refused.cure() == Cure::Smaller)
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use fault_proxy::http;

    use super::*;

    #[test]
    fn a_websocket_is_one_port_higher() {
        let of = |url: &str| Rpc::new(url, TIMEOUT).websocket_url().ok();
        assert_eq!(of("http://127.0.0.1:8899").as_deref(), Some("ws://127.0.0.1:8900"));
        assert_eq!(of("https://a.b/?key=1").as_deref(), Some("wss://a.b/?key=1"));
        assert_eq!(of("localhost").as_deref(), Some("ws://127.0.0.1:8900"));
        assert_eq!(of("http://a:65535"), None);
        assert_eq!(of("unix:/socket"), None);
    }

    /// A node that answers every call for accounts with this value, and how often it did.
    fn node(value: Value) -> (String, Arc<AtomicUsize>) {
        let calls = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&calls);
        let address = http::serve(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            let result = json!({ "context": { "slot": 400_000_000 }, "value": value });
            Some(http::Answer::ok(json!({ "result": result })))
        });
        (format!("http://{address}"), calls)
    }

    /// Obligations that are listed and not shown are asked of another node; where that does
    /// not show them either, the whole scan failed.
    #[test]
    fn obligations_that_are_listed_are_there() {
        let market = Address::new_from_array([5; 32]);
        let filter = Filter::indebted(&market);
        let mut data = vec![0; filter.min_len];
        for (offset, bytes) in filter.compared() {
            data[offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        let node = |shows: bool| {
            let account = json!({
                "lamports": 5, "data": [STANDARD.encode(&data), "base64"],
                "owner": KLEND_PROGRAM_ID.to_string(), "executable": false,
            });
            let address = http::serve(move |request| {
                let asked = request["params"][0].as_array();
                let value: Value = match (asked, shows) {
                    (Some(keys), true) => keys.iter().map(|_| account.clone()).collect(),
                    (Some(keys), false) => keys.iter().map(|_| Value::Null).collect(),
                    (None, _) => (1..=5)
                        .map(|byte| Address::new_from_array([byte; 32]).to_string())
                        .map(|key| json!({ "pubkey": key, "account": account }))
                        .collect(),
                };
                let result = json!({ "context": { "slot": 400_000_000 }, "value": value });
                Some(http::Answer::ok(json!({ "result": result })))
            });
            format!("http://{address}")
        };
        let (less, whole) = (node(false), node(true));
        let visited = |nodes: &[&String]| {
            let count = AtomicUsize::new(0);
            let visit = |_, _: &Address, _: &Account| {
                count.fetch_add(1, Ordering::Relaxed);
            };
            Rpc::all(nodes, TIMEOUT).visit_obligations(&market, &|_, _| (), &visit)?;
            anyhow::Ok(count.into_inner())
        };
        assert_eq!(visited(&[&less, &whole]).unwrap(), 5);
        let error = visited(&[&less]).unwrap_err().to_string();
        assert!(error.contains("5 of 5 obligations"), "{error}");
    }

    /// Who gave the first answer is not asked for the second, if there is somebody else.
    #[test]
    fn a_second_answer_is_of_another_node() {
        let key = Address::new_from_array([7; 32]);
        let account = json!({
            "lamports": 5, "data": ["", "base64"], "owner": KLEND_PROGRAM_ID.to_string(),
            "executable": false,
        });
        let (less, asked) = node(json!([null]));
        let (more, asked_more) = node(json!([account]));
        let rpc = Rpc::all(&[&less, &more], TIMEOUT);
        assert!(rpc.accounts_at(&[key]).unwrap().1[0].is_none());
        assert!(rpc.accounts_elsewhere(&[key]).unwrap().1[0].is_some());
        let counted = || [&asked, &asked_more].map(|calls| calls.load(Ordering::Relaxed));
        assert_eq!(counted(), [1, 1]);
        // Alone, or where the other one is gone, it is asked again.
        let gone = "http://127.0.0.1:1".to_owned();
        for nodes in [&[less.clone()][..], &[less.clone(), gone]] {
            assert!(Rpc::all(nodes, TIMEOUT).accounts_elsewhere(&[key]).unwrap().1[0].is_none());
        }
        assert_eq!(counted(), [3, 1]);

        let (empty, asked) = node(json!([]));
        let (whole, _) = node(json!([{ "pubkey": key.to_string(), "account": account }]));
        let rpc = Rpc::all(&[empty, whole], TIMEOUT);
        let listed = rpc.program_accounts(&KLEND_PROGRAM_ID, Filter::at_least(0)).unwrap();
        assert_eq!((listed.len(), asked.load(Ordering::Relaxed)), (1, 1));
    }
}
