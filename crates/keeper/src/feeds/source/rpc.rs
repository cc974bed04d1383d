use std::{
    collections::BTreeMap,
    fmt,
    marker::PhantomData,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use klend_fork::{Programs, Snapshot, World, lenient};
use klend_model::{constants::KLEND_PROGRAM_ID, time::Clock, version::KlendVersion};
use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeOwned, IgnoredAny, MapAccess, SeqAccess, Visitor as JsonVisitor,
        value::SeqAccessDeserializer,
    },
};
use serde_json::{Value, json};
use solana_account::Account;
use solana_address::Address;
use solana_hash::Hash;
use solana_sdk_ids::{address_lookup_table, bpf_loader_upgradeable, sysvar};
use solana_transaction_error::TransactionError;
use tracing::warn;

use super::{
    Filter, Progress, Source, Visitor,
    call::{Cure, Refused},
    nodes::{Node, Nodes, Role},
    read_clock,
};

/// Accounts one `getMultipleAccounts` may ask for.
const BATCH: usize = 100;
/// Longest a node may take to answer, unless told otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// How many slots a node's answer may be behind the newest one seen.
const MAX_SLOTS_BEHIND: u64 = 32;

/// Bytes of a program data account that say when it was deployed: tag and slot.
const PROGRAM_DATA_HEADER: usize = 12;

/// How far a transaction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seen {
    /// The node knows of none.
    Nowhere,
    /// It is in a block, which may still be dropped.
    Processed,
    Confirmed,
    Finalized,
}

/// What a node knows of a signature.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    /// The slot that the node has come to.
    pub slot: u64,
    pub seen: Seen,
}

/// The RPC nodes of a cluster.
pub struct Rpc {
    nodes: Nodes,
    /// The newest slot an answer was of. Nodes may differ, and so may those behind one
    /// address.
    newest: AtomicU64,
    /// Accounts one call asks for: as many as nodes have taken.
    batch: AtomicUsize,
    /// Programs' code, by program data account. Kept because it is large and
    /// rarely changes; the header, fetched each time, says when it did.
    code: Mutex<BTreeMap<Address, Account>>,
    /// The klend that works on the accounts, once it is known.
    klend: OnceLock<KlendVersion>,
}

/// What an account looks like in an answer.
/// Accounts may have more in them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireAccount {
    #[serde(deserialize_with = "lenient::number")]
    lamports: u64,
    data: (String, String),
    owner: String,
    executable: bool,
    #[serde(default = "lenient::exempt", deserialize_with = "lenient::number")]
    rent_epoch: u64,
}

#[derive(Deserialize)]
struct Answer<T> {
    context: Context_,
    value: T,
}

#[derive(Deserialize)]
struct Context_ {
    slot: u64,
}

/// A list, with the slot it is of where the node says it.
struct Listed<T> {
    slot: Option<u64>,
    value: Vec<T>,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Listed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> JsonVisitor<'de> for Either<T> {
            type Value = Listed<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list, or a list and its context")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Listed<T>, A::Error> {
                let value = Vec::deserialize(SeqAccessDeserializer::new(list))?;
                Ok(Listed { slot: None, value })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Listed<T>, A::Error> {
                let (mut slot, mut value) = (None, None);
                while let Some(key) = map.next_key::<String>()? {
                    match &*key {
                        "context" => slot = Some(map.next_value::<Context_>()?.slot),
                        "value" => value = Some(map.next_value()?),
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                let value = value.ok_or_else(|| serde::de::Error::missing_field("value"))?;
                Ok(Listed { slot, value })
            }
        }
        deserializer.deserialize_any(Either(PhantomData))
    }
}

#[derive(Deserialize)]
struct Keyed {
    pubkey: String,
    account: WireAccount,
}

impl WireAccount {
    /// The account, whose data has to be in base64.
    pub fn decode(self) -> Result<Account> {
        let (data, encoding) = self.data;
        if encoding != "base64" {
            bail!("data is encoded as {encoding}, base64 was asked for");
        }
        Ok(Account {
            lamports: self.lamports,
            data: STANDARD.decode(data)?,
            owner: parse_address(&self.owner)?,
            executable: self.executable,
            rent_epoch: self.rent_epoch,
        })
    }
}

impl Keyed {
    fn decode(self) -> Result<(Address, Account)> {
        Ok((parse_address(&self.pubkey)?, self.account.decode()?))
    }
}

fn parse_address(text: &str) -> Result<Address> {
    text.parse().with_context(|| format!("{text:?} is not an address"))
}

/// What a node's simulation of a transaction showed.
pub struct Simulated {
    pub error: Option<TransactionError>,
    pub logs: Vec<String>,
    pub units: u64,
}

/// A transaction that a node has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub signature: String,
    pub slot: u64,
    pub failed: bool,
}

#[derive(Deserialize)]
struct WireSent {
    signature: String,
    slot: u64,
    #[serde(default)]
    err: Value,
}

impl Rpc {
    /// Signatures that one call may tell.
    pub const SIGNATURES: usize = 1_000;

    /// A node that has `timeout` to answer a call, for everything.
    pub fn new(url: &str, timeout: Duration) -> Self {
        let roles = Role::ALL.map(|(_, role)| role).to_vec();
        Self::of(vec![Node::new(resolve(url), roles)], timeout)
    }

    /// Nodes of one cluster, the preferred ones first, each with so much time to answer.
    pub fn of(nodes: Vec<Node>, timeout: Duration) -> Self {
        Self {
            nodes: Nodes::new(nodes, timeout),
            newest: AtomicU64::new(0),
            batch: AtomicUsize::new(BATCH),
            code: Mutex::default(),
            klend: OnceLock::new(),
        }
    }

    /// This node first, then others.
    pub fn with(&self, others: Vec<Node>) -> Self {
        let roles = Role::ALL.map(|(_, role)| role).to_vec();
        let nodes = std::iter::once(Node::new(self.url(), roles)).chain(others).collect();
        Self::of(nodes, self.nodes.timeout)
    }

    /// The same node with another patience, over connections of its own.
    pub fn again(&self, timeout: Duration) -> Self {
        Self::new(self.url(), timeout)
    }

    /// The preferred node's address.
    fn url(&self) -> &str {
        self.nodes.iter().next().map_or("", |node| &node.endpoint.url)
    }

    /// The newest slot an answer was of.
    pub fn newest(&self) -> u64 {
        self.newest.load(Ordering::Relaxed)
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
        self.nodes.call_once(Role::Scan, method, params)
    }

    /// Calls a node, again or another one where that may help.
    fn call<T: DeserializeOwned>(&self, method: &'static str, params: &Value) -> Result<T> {
        self.nodes.call(Role::Scan, method, params, |_| Ok(()))
    }

    /// The oldest slot an answer may be of: not much older than anything seen before.
    fn oldest(&self) -> u64 {
        self.newest().saturating_sub(MAX_SLOTS_BEHIND)
    }

    fn saw(&self, slot: u64) {
        self.newest.fetch_max(slot, Ordering::Relaxed);
    }

    /// One batch, complete and not older than it may be.
    fn batch(&self, keys: &[Address]) -> Result<(u64, Vec<Option<Account>>)> {
        let min_slot = self.oldest();
        let names: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let params = json!([names, {
            "encoding": "base64", "commitment": "confirmed", "minContextSlot": min_slot
        }]);
        let judge = |answer: &Answer<Vec<Option<WireAccount>>>| {
            let (there, slot) = (answer.value.len(), answer.context.slot);
            (there == keys.len() && slot >= min_slot).then_some(()).ok_or_else(|| {
                format!(
                    "{there} of {} accounts at slot {slot}, wanted slot {min_slot} or later",
                    keys.len()
                )
            })
        };
        let answer = self.nodes.call(Role::Scan, "getMultipleAccounts", &params, judge)?;
        self.saw(answer.context.slot);
        let accounts = answer
            .value
            .into_iter()
            .map(|account| account.map(WireAccount::decode).transpose())
            .collect::<Result<_>>()?;
        Ok((answer.context.slot, accounts))
    }

    /// Accounts in as many pieces as it takes; providers allow a hundred, or five, or so
    /// many bytes.
    fn batches(&self, keys: &[Address]) -> Result<(u64, Vec<Option<Account>>)> {
        let mut accounts = Vec::with_capacity(keys.len());
        let mut oldest = u64::MAX;
        while accounts.len() < keys.len() {
            let rest = &keys[accounts.len()..];
            let count = self.batch.load(Ordering::Relaxed).min(rest.len());
            match self.batch(&rest[..count]) {
                Ok((slot, batch)) => {
                    oldest = oldest.min(slot);
                    accounts.extend(batch);
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
                }
                Err(error) => return Err(error),
            }
        }
        Ok((if keys.is_empty() { 0 } else { oldest }, accounts))
    }

    /// A list of a program's accounts. One that is empty is not believed at once: klend
    /// has accounts of every kind that is asked for.
    fn list(&self, program: &Address, filter: &Filter, sliced: bool) -> Result<Vec<Keyed>> {
        let min_slot = self.oldest();
        let mut options = json!({
            "encoding": "base64", "commitment": "confirmed", "filters": wire_filters(filter),
            "withContext": true, "minContextSlot": min_slot,
        });
        if sliced {
            options["dataSlice"] = json!({ "offset": 0, "length": 0 });
        }
        let params = json!([program.to_string(), options]);
        let judge = |listed: &Listed<Keyed>| match listed.slot {
            Some(slot) if slot < min_slot => {
                Err(format!("slot {slot}, wanted {min_slot} or later"))
            }
            _ => Ok(()),
        };
        let ask = || self.nodes.call(Role::Scan, "getProgramAccounts", &params, judge);
        let mut listed: Listed<Keyed> = ask()?;
        if listed.value.is_empty() && *program == KLEND_PROGRAM_ID {
            warn!(least = filter.min_len, "no account of this kind: asked again");
            listed = ask()?;
        }
        listed.slot.into_iter().for_each(|slot| self.saw(slot));
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
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let params = json!([names, {
            "encoding": "base64",
            "commitment": "confirmed",
            "dataSlice": { "offset": 0, "length": length },
        }]);
        let answer: Answer<Vec<Option<WireAccount>>> = self.call("getMultipleAccounts", &params)?;
        answer
            .value
            .into_iter()
            .map(|account| account.map(WireAccount::decode).transpose())
            .collect()
    }

    /// How many slots the node says it is behind the cluster.
    pub fn slots_behind(&self) -> Result<u64> {
        const BEHIND: i64 = -32005;
        match self.call_once::<String>("getHealth", &json!([])) {
            Ok(_) => Ok(0),
            Err(error) => match error.chain().find_map(|cause| cause.downcast_ref::<Refused>()) {
                // "Node is behind by 42 slots", or "Node is unhealthy" that does not know.
                Some(refused) if refused.code == BEHIND => {
                    let digits = refused.message.split(|letter: char| !letter.is_ascii_digit());
                    Ok(digits.filter_map(|digits| digits.parse().ok()).next().unwrap_or(u64::MAX))
                }
                _ => Err(error),
            },
        }
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

    /// A recent blockhash and the last block height it is valid in.
    pub fn latest_blockhash(&self) -> Result<(Hash, u64)> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Latest {
            blockhash: String,
            last_valid_block_height: u64,
        }
        let answer: Answer<Latest> =
            self.call("getLatestBlockhash", &json!([{"commitment": "confirmed"}]))?;
        let hash = answer.value.blockhash.parse().context("blockhash")?;
        Ok((hash, answer.value.last_valid_block_height))
    }

    /// The newest confirmed slot and the height of its block.
    pub fn now(&self) -> Result<(u64, u64)> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Epoch {
            absolute_slot: u64,
            block_height: u64,
        }
        let epoch: Epoch =
            self.call_once("getEpochInfo", &json!([{ "commitment": "confirmed" }]))?;
        Ok((epoch.absolute_slot, epoch.block_height))
    }

    /// The cluster's genesis hash, which tells mainnet from the rest.
    pub fn genesis_hash(&self) -> Result<String> {
        self.call("getGenesisHash", &json!([]))
    }

    /// What recent transactions that write these accounts paid for a compute unit,
    /// micro-lamports: the median of what the node remembers, `None` if that is
    /// nothing.
    pub fn recent_unit_price(&self, writes: &[Address]) -> Result<Option<u64>> {
        /// Accounts one call may name.
        const MOST: usize = 128;
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Paid {
            prioritization_fee: u64,
        }
        let names: Vec<String> = writes.iter().take(MOST).map(ToString::to_string).collect();
        let answer: Vec<Paid> = self.call("getRecentPrioritizationFees", &json!([names]))?;
        let mut paid: Vec<u64> = answer.iter().map(|paid| paid.prioritization_fee).collect();
        paid.sort_unstable();
        Ok(paid.get(paid.len() / 2).copied())
    }

    /// The accounts that a block engine wants its tips in.
    pub fn tip_accounts(&self) -> Result<Vec<Address>> {
        let names: Vec<String> = self.call("getTipAccounts", &json!([]))?;
        names.iter().map(|name| parse_address(name)).collect()
    }

    /// Simulates a transaction on the node, as if its blockhash were a recent
    /// one; signatures are not looked at.
    pub fn simulate(&self, transaction: &[u8]) -> Result<Simulated> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Value_ {
            err: Option<TransactionError>,
            logs: Option<Vec<String>>,
            units_consumed: Option<u64>,
        }
        let newest = self.newest();
        let params = json!([STANDARD.encode(transaction), {
            "encoding": "base64",
            "commitment": "confirmed",
            "sigVerify": false,
            "replaceRecentBlockhash": true,
            "minContextSlot": newest,
        }]);
        // A refusal from before what is known already is no refusal.
        let judge = |answer: &Answer<Value_>| {
            let slot = answer.context.slot;
            (slot >= newest)
                .then_some(())
                .ok_or_else(|| format!("simulated at slot {slot}, wanted {newest} or later"))
        };
        let answer = self.nodes.call(Role::Simulate, "simulateTransaction", &params, judge)?;
        let simulated = answer.value;
        Ok(Simulated {
            error: simulated.err,
            logs: simulated.logs.unwrap_or_default(),
            units: simulated.units_consumed.unwrap_or_default(),
        })
    }

    /// Hands a signed transaction to the node, once. Sending the same bytes again
    /// is harmless: a signature is executed at most once.
    pub fn send(&self, transaction: &[u8]) -> Result<String> {
        let params = json!([STANDARD.encode(transaction), {
            "encoding": "base64", "skipPreflight": true, "maxRetries": 0
        }]);
        self.nodes.call_once(Role::Send, "sendTransaction", &params)
    }

    /// What a node knows of a signature, and the slot it has come to.
    pub fn status(&self, signature: &str) -> Result<Status> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire {
            confirmation_status: Option<String>,
        }
        let answer: Answer<Vec<Option<Wire>>> =
            self.call_once("getSignatureStatuses", &json!([[signature]]))?;
        let seen = match answer.value.into_iter().next().flatten() {
            None => Seen::Nowhere,
            Some(wire) => match wire.confirmation_status.as_deref() {
                Some("finalized") => Seen::Finalized,
                Some("confirmed") => Seen::Confirmed,
                _ => Seen::Processed,
            },
        };
        Ok(Status { slot: answer.context.slot, seen })
    }

    /// Every token account of `owner` under one of the token programs.
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
        let answer: Answer<Vec<Keyed>> = self.call("getTokenAccountsByOwner", &params)?;
        answer.value.into_iter().map(Keyed::decode).collect()
    }

    /// Lookup tables whose authority is `authority`, retired ones among them.
    pub fn lookup_tables(&self, authority: &Address) -> Result<Vec<(Address, Account)>> {
        // Type, slots of retirement and last extension, where that began; then whether there
        // is an authority, and which.
        const AUTHORITY_OFFSET: usize = 4 + 8 + 8 + 1;
        let bytes = [&[1], authority.as_ref()].concat();
        let params = json!([address_lookup_table::ID.to_string(), {
            "encoding": "base64", "commitment": "confirmed",
            "filters": [{ "memcmp": {
                "offset": AUTHORITY_OFFSET, "bytes": bs58::encode(bytes).into_string()
            } }],
        }]);
        let listed: Listed<Keyed> = self.call("getProgramAccounts", &params)?;
        listed.value.into_iter().map(Keyed::decode).collect()
    }

    /// Transactions that name an account, the newest first, at most
    /// [`SIGNATURES`](Self::SIGNATURES); those
    /// before another one's signature.
    pub fn signatures_of(&self, account: &Address, before: Option<&str>) -> Result<Vec<Sent>> {
        let mut options = json!({ "commitment": "confirmed", "limit": Self::SIGNATURES });
        if let Some(before) = before {
            options["before"] = json!(before);
        }
        let listed: Vec<WireSent> =
            self.call("getSignaturesForAddress", &json!([account.to_string(), options]))?;
        let listed = listed.into_iter().map(|WireSent { signature, slot, err }| Sent {
            signature,
            slot,
            failed: !err.is_null(),
        });
        Ok(listed.collect())
    }

    /// A transaction as `getTransaction` answers; `None` if the node has none.
    pub fn transaction(&self, signature: &str) -> Result<Option<Value>> {
        let params = json!([signature, {
            "encoding": "json", "commitment": "confirmed", "maxSupportedTransactionVersion": 1
        }]);
        self.call("getTransaction", &params)
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
        self.batches(keys)
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
        let mut done = 0;
        for chunk in keys.chunks(BATCH) {
            let (slot, accounts) = self.accounts_at(chunk)?;
            for (key, account) in chunk.iter().zip(accounts) {
                // It may have been closed or repaid in between.
                if let Some(account) = account.filter(|account| filter.accepts(&account.data)) {
                    visit(slot, key, &account);
                }
            }
            done += chunk.len();
            progress(done, keys.len());
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

/// Where an upgradeable program keeps its code.
pub fn program_data_address(account: &Account) -> Option<Address> {
    (account.executable && account.owner == bpf_loader_upgradeable::ID)
        .then(|| account.data.get(4..)?.first_chunk().copied().map(Address::new_from_array))?
}

/// The filter as `getProgramAccounts` and `programSubscribe` take it.
pub fn wire_filters(filter: &Filter) -> Value {
    let memcmp = |(offset, bytes): (usize, &[u8])| {
        let bytes = bs58::encode(bytes).into_string();
        json!({ "memcmp": { "offset": offset, "bytes": bytes } })
    };
    filter.compared().map(memcmp).collect()
}

#[cfg(test)]
mod tests {
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
}
