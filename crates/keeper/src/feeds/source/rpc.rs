use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use klend_fork::{Programs, Snapshot, World};
use klend_model::{constants::KLEND_PROGRAM_ID, reserve::Clock};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use solana_account::Account;
use solana_address::Address;
use solana_hash::Hash;
use solana_rpc_client::rpc_client::RpcClient;
use solana_rpc_client_api::{
    client_error::{Error as ClientError, ErrorKind},
    request::{RpcError, RpcRequest},
};
use solana_sdk_ids::{bpf_loader_upgradeable, sysvar};
use solana_transaction_error::TransactionError;

use super::{Filter, Progress, Source, Visitor, read_clock};

/// Accounts one `getMultipleAccounts` may ask for.
const BATCH: usize = 100;
/// Times a call is tried before its error is reported.
const ATTEMPTS: u32 = 5;
/// Pause before the second try; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Longest a node may take to answer, unless told otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// How many slots a node's answer may be behind the newest one seen.
const MAX_SLOTS_BEHIND: u64 = 32;

/// Bytes of a program data account that say when it was deployed: tag and slot.
const PROGRAM_DATA_HEADER: usize = 12;

/// An RPC node.
pub struct Rpc {
    client: RpcClient,
    url: String,
    /// The newest slot an answer was of. Nodes behind one address may differ.
    newest: AtomicU64,
    /// Programs' code, by program data account. Kept because it is large and
    /// rarely changes; the header, fetched each time, says when it did.
    code: Mutex<BTreeMap<Address, Account>>,
}

/// What an account looks like in an answer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireAccount {
    lamports: u64,
    data: (String, String),
    owner: String,
    executable: bool,
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

/// Whether the same call may succeed a moment later.
fn is_transient(kind: &ErrorKind) -> bool {
    match kind {
        ErrorKind::Io(_)
        | ErrorKind::Reqwest(_)
        | ErrorKind::Middleware(_)
        | ErrorKind::SerdeJson(_) => true,
        ErrorKind::RpcError(error) => {
            match error {
                // The node is behind, has no room, or has not seen the slot yet.
                RpcError::RpcResponseError { code, .. } => {
                    matches!(code, -32004 | -32005 | -32014 | -32016 | 429)
                }
                RpcError::RpcRequestError(_) | RpcError::ParseError(_) => true,
                RpcError::ForUser(_) => false,
            }
        }
        ErrorKind::SigningError(_) | ErrorKind::TransactionError(_) | ErrorKind::Custom(_) => false,
    }
}

/// What a node's simulation of a transaction showed.
pub struct Simulated {
    pub error: Option<TransactionError>,
    pub logs: Vec<String>,
    pub units: u64,
}

/// A node's refusal, in its own words. Nothing came of the call.
#[derive(Debug, thiserror::Error)]
#[error("the node refused ({code}): {message}")]
pub struct Refused {
    pub code: i64,
    pub message: String,
}

/// `text` with what follows the host of any URL left out: a path or a query may
/// hold a provider's API key.
pub fn redact(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let is_over = |letter: char| letter.is_whitespace() || "()<>\"',".contains(letter);
        let end = after.find(is_over).unwrap_or(after.len());
        let (url, tail) = after.split_at(end);
        let (authority, hidden) = match url.find(['/', '?', '#']) {
            Some(path) => (&url[..path], url.len() > path + 1),
            None => (url, false),
        };
        // Neither a user's name nor a password.
        shown.push_str(authority.rsplit('@').next().unwrap_or_default());
        if hidden {
            shown.push_str("/...");
        }
        rest = tail;
    }
    shown.push_str(rest);
    shown
}

/// A client's error without secrets, as an error of this crate.
fn public(error: &ClientError) -> anyhow::Error {
    if let ErrorKind::RpcError(RpcError::RpcResponseError { code, message, .. }) = error.kind() {
        return Refused { code: *code, message: redact(message) }.into();
    }
    let mut text = error.kind().to_string();
    let mut source = std::error::Error::source(error.kind());
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    anyhow!(redact(&text))
}

impl Rpc {
    /// A node that has `timeout` to answer a call.
    pub fn new(url: &str, timeout: Duration) -> Self {
        let url = match url {
            "mainnet" | "mainnet-beta" | "m" => "https://api.mainnet-beta.solana.com",
            "devnet" | "d" => "https://api.devnet.solana.com",
            "localhost" | "l" => "http://127.0.0.1:8899",
            url => url,
        };
        Self {
            client: RpcClient::new_with_timeout(url.to_owned(), timeout),
            url: url.to_owned(),
            newest: AtomicU64::new(0),
            code: Mutex::default(),
        }
    }

    /// The same node with another patience, over connections of its own.
    pub fn again(&self, timeout: Duration) -> Self {
        Self::new(&self.url, timeout)
    }

    /// Where the node tells of changes, by Solana's convention: the same address
    /// as a websocket, one port higher where the port is given.
    pub fn websocket_url(&self) -> Result<String> {
        let (scheme, rest) = match self.url.split_once("://") {
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

    /// Calls the node once.
    pub fn call_once<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: &Value,
    ) -> Result<T> {
        self.client
            .send(RpcRequest::Custom { method }, params.clone())
            .map_err(|error| public(&error).context(format!("{method} failed")))
    }

    /// Calls the node, again after a pause where that may help.
    fn call<T: DeserializeOwned>(&self, method: &'static str, params: &Value) -> Result<T> {
        self.retry(method, || self.client.send(RpcRequest::Custom { method }, params.clone()))
    }

    fn retry<T>(
        &self,
        method: &str,
        call: impl Fn() -> solana_rpc_client_api::client_error::Result<T>,
    ) -> Result<T> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..ATTEMPTS {
            match call() {
                Ok(answer) => return Ok(answer),
                Err(error) if is_transient(error.kind()) => {
                    thread::sleep(pause);
                    pause *= 2;
                }
                Err(error) => return Err(public(&error).context(format!("{method} failed"))),
            }
        }
        call().map_err(|error| public(&error).context(format!("{method} failed {ATTEMPTS} times")))
    }

    /// One batch, complete and not much older than anything seen before.
    fn batch(&self, keys: &[Address]) -> Result<(u64, Vec<Option<Account>>)> {
        let newest = self.newest.load(Ordering::Relaxed);
        let min_slot = newest.saturating_sub(MAX_SLOTS_BEHIND);
        let names: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let params = json!([names, {
            "encoding": "base64", "commitment": "confirmed", "minContextSlot": min_slot
        }]);
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            let answer: Answer<Vec<Option<WireAccount>>> =
                self.call("getMultipleAccounts", &params)?;
            if answer.value.len() == keys.len() && answer.context.slot >= min_slot {
                self.newest.fetch_max(answer.context.slot, Ordering::Relaxed);
                let accounts = answer
                    .value
                    .into_iter()
                    .map(|account| account.map(WireAccount::decode).transpose())
                    .collect::<Result<_>>()?;
                return Ok((answer.context.slot, accounts));
            }
            if attempt >= ATTEMPTS {
                bail!(
                    "getMultipleAccounts: {} of {} accounts at slot {}, wanted slot {min_slot} or later",
                    answer.value.len(),
                    keys.len(),
                    answer.context.slot
                );
            }
            thread::sleep(pause);
            pause *= 2;
        }
        bail!("getMultipleAccounts was never tried")
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

    /// The height of the newest confirmed block.
    pub fn block_height(&self) -> Result<u64> {
        self.call_once("getBlockHeight", &json!([{"commitment": "confirmed"}]))
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
        let params = json!([STANDARD.encode(transaction), {
            "encoding": "base64",
            "commitment": "confirmed",
            "sigVerify": false,
            "replaceRecentBlockhash": true,
        }]);
        let answer: Answer<Value_> = self.call("simulateTransaction", &params)?;
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
        self.call_once("sendTransaction", &params)
    }

    /// Whether a signature was confirmed, and the slot the node has come to.
    pub fn is_confirmed(&self, signature: &str) -> Result<(bool, u64)> {
        let (status, slot) = self.confirmation_status(signature)?;
        Ok((status.is_some_and(|status| status != "processed"), slot))
    }

    /// Whether the block with a signature was finalized.
    pub fn is_finalized(&self, signature: &str) -> Result<bool> {
        Ok(self.confirmation_status(signature)?.0.is_some_and(|status| status == "finalized"))
    }

    fn confirmation_status(&self, signature: &str) -> Result<(Option<String>, u64)> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Status {
            confirmation_status: Option<String>,
        }
        let answer: Answer<Vec<Option<Status>>> =
            self.call_once("getSignatureStatuses", &json!([[signature]]))?;
        let status = answer.value.into_iter().next().flatten();
        Ok((status.and_then(|status| status.confirmation_status), answer.context.slot))
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
        let shown = redact(&self.url);
        format!("RPC node {}", shown.split("://").nth(1).unwrap_or(&shown).trim_end_matches("/..."))
    }

    fn clock(&self) -> Result<Clock> {
        read_clock(&self.account("clock sysvar", &sysvar::clock::ID)?.data)
    }

    fn accounts_at(&self, keys: &[Address]) -> Result<(u64, Vec<Option<Account>>)> {
        let mut accounts = Vec::with_capacity(keys.len());
        let mut oldest = u64::MAX;
        for chunk in keys.chunks(BATCH) {
            let (slot, batch) = self.batch(chunk)?;
            oldest = oldest.min(slot);
            accounts.extend(batch);
        }
        Ok((if keys.is_empty() { 0 } else { oldest }, accounts))
    }

    fn program_accounts(
        &self,
        program: &Address,
        filter: Filter,
    ) -> Result<Vec<(Address, Account)>> {
        let params = json!([program.to_string(), {
            "encoding": "base64", "commitment": "confirmed", "filters": wire_filters(&filter)
        }]);
        let answer: Vec<Keyed> = self.call("getProgramAccounts", &params)?;
        let mut accounts = answer.into_iter().map(Keyed::decode).collect::<Result<Vec<_>>>()?;
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
        let params = json!([KLEND_PROGRAM_ID.to_string(), {
            "encoding": "base64",
            "commitment": "confirmed",
            "dataSlice": { "offset": 0, "length": 0 },
            "filters": wire_filters(&filter),
        }]);
        let sliced: Vec<Keyed> = self.call("getProgramAccounts", &params)?;
        let mut keys = sliced
            .into_iter()
            .map(|keyed| parse_address(&keyed.pubkey))
            .collect::<Result<Vec<_>>>()?;
        keys.sort_unstable();
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
    fn what_may_hold_a_secret_is_not_shown() {
        for (text, shown) in [
            ("no url", "no url"),
            ("for url (https://a.b/?api-key=SECRET): x", "for url (https://a.b/...): x"),
            ("https://me:SECRET@a.b:1/SECRET", "https://a.b:1/..."),
            ("http://a:1/", "http://a:1"),
            ("a ws://b/SECRET c wss://d", "a ws://b/... c wss://d"),
        ] {
            assert_eq!(redact(text), shown);
        }
    }

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
