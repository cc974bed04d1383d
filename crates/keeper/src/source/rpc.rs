use std::{thread, time::Duration};

use anyhow::{Context, Result, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use klend_fork::{Programs, Snapshot, World};
use klend_interface::state::{DISCRIMINATOR_SIZE, Obligation};
use klend_model::{constants::KLEND_PROGRAM_ID, reserve::Clock};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use solana_account::Account;
use solana_address::Address;
use solana_hash::Hash;
use solana_rpc_client::rpc_client::RpcClient;
use solana_rpc_client_api::{
    client_error::ErrorKind,
    request::{RpcError, RpcRequest},
};
use solana_sdk_ids::{bpf_loader_upgradeable, sysvar};
use solana_transaction_error::TransactionError;

use super::{Filter, Progress, Source, Visitor};

/// Accounts one `getMultipleAccounts` may ask for.
const BATCH: usize = 100;
/// Times a call is tried before its error is reported.
const ATTEMPTS: u32 = 5;
/// Pause before the second try; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Longest a node may take to answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How many slots a node's answer may be behind the newest one seen.
const MAX_SLOTS_BEHIND: u64 = 32;

/// An RPC node.
pub struct Rpc {
    client: RpcClient,
    url: String,
}

/// What an account looks like in an answer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireAccount {
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
    fn decode(self) -> Result<Account> {
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

impl Rpc {
    pub fn new(url: &str) -> Self {
        let url = match url {
            "mainnet" | "mainnet-beta" | "m" => "https://api.mainnet-beta.solana.com",
            "devnet" | "d" => "https://api.devnet.solana.com",
            "localhost" | "l" => "http://127.0.0.1:8899",
            url => url,
        };
        Self { client: RpcClient::new_with_timeout(url.to_owned(), TIMEOUT), url: url.to_owned() }
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
                Err(error) => return Err(error).with_context(|| format!("{method} failed")),
            }
        }
        call().with_context(|| format!("{method} failed {ATTEMPTS} times"))
    }

    /// One batch, complete and not older than `min_slot`.
    fn batch(&self, keys: &[Address], min_slot: u64) -> Result<(u64, Vec<Option<Account>>)> {
        let names: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let params = json!([names, {
            "encoding": "base64", "commitment": "confirmed", "minContextSlot": min_slot
        }]);
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            let answer: Answer<Vec<Option<WireAccount>>> =
                self.call("getMultipleAccounts", &params)?;
            if answer.value.len() == keys.len() && answer.context.slot >= min_slot {
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
        self.call("getBlockHeight", &json!([{"commitment": "confirmed"}]))
    }

    /// The cluster's genesis hash, which tells mainnet from the rest.
    pub fn genesis_hash(&self) -> Result<String> {
        self.call("getGenesisHash", &json!([]))
    }

    /// Simulates a signed transaction on the node.
    pub fn simulate(
        &self,
        transaction: &[u8],
    ) -> Result<(Option<TransactionError>, Vec<String>, u64)> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Simulated {
            err: Option<TransactionError>,
            logs: Option<Vec<String>>,
            units_consumed: Option<u64>,
        }
        let params = json!([STANDARD.encode(transaction), {
            "encoding": "base64", "commitment": "confirmed", "sigVerify": true
        }]);
        let answer: Answer<Simulated> = self.call("simulateTransaction", &params)?;
        let simulated = answer.value;
        Ok((
            simulated.err,
            simulated.logs.unwrap_or_default(),
            simulated.units_consumed.unwrap_or_default(),
        ))
    }

    /// Hands a signed transaction to the node. Sending the same bytes again is
    /// harmless: a signature is executed once.
    pub fn send(&self, transaction: &[u8]) -> Result<String> {
        let params = json!([STANDARD.encode(transaction), {
            "encoding": "base64", "skipPreflight": true, "maxRetries": 0
        }]);
        self.call("sendTransaction", &params)
    }

    /// Whether a signature was confirmed.
    pub fn is_confirmed(&self, signature: &str) -> Result<bool> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Status {
            confirmation_status: Option<String>,
        }
        let answer: Answer<Vec<Option<Status>>> =
            self.call("getSignatureStatuses", &json!([[signature]]))?;
        let status = answer.value.into_iter().next().flatten();
        Ok(status
            .and_then(|status| status.confirmation_status)
            .is_some_and(|status| status != "processed"))
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
        // A path or a query may hold a provider's API key.
        let host = self.url.split("://").nth(1).unwrap_or(&self.url);
        format!("RPC node {}", host.split(['/', '?']).next().unwrap_or_default())
    }

    fn clock(&self) -> Result<Clock> {
        let account = self.account("clock sysvar", &sysvar::clock::ID)?;
        let word = |at: usize| -> Result<[u8; 8]> {
            account
                .data
                .get(at..)
                .and_then(|tail| tail.first_chunk())
                .copied()
                .context("clock sysvar is too short")
        };
        // slot, epoch_start_timestamp, epoch, leader_schedule_epoch, unix_timestamp
        let unix_timestamp = i64::from_le_bytes(word(32)?);
        Ok(Clock {
            slot: u64::from_le_bytes(word(0)?),
            unix_timestamp: u64::try_from(unix_timestamp)?,
        })
    }

    fn accounts(&self, keys: &[Address]) -> Result<Vec<Option<Account>>> {
        let mut accounts = Vec::with_capacity(keys.len());
        let mut newest = 0u64;
        for chunk in keys.chunks(BATCH) {
            let (slot, batch) = self.batch(chunk, newest.saturating_sub(MAX_SLOTS_BEHIND))?;
            newest = newest.max(slot);
            accounts.extend(batch);
        }
        Ok(accounts)
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
        let mut accounts = answer
            .into_iter()
            .map(|keyed| Ok((parse_address(&keyed.pubkey)?, keyed.account.decode()?)))
            .collect::<Result<Vec<_>>>()?;
        accounts.retain(|(_, account)| filter.accepts(&account.data));
        accounts.sort_by_key(|(key, _)| *key);
        Ok(accounts)
    }

    /// Asks for the `has_debt` byte of every obligation first, and then only for
    /// those that have debt, a batch at a time.
    fn visit_obligations(
        &self,
        market: &Address,
        progress: Progress,
        visit: Visitor,
    ) -> Result<()> {
        let has_debt = DISCRIMINATOR_SIZE + std::mem::offset_of!(Obligation, has_debt);
        let params = json!([KLEND_PROGRAM_ID.to_string(), {
            "encoding": "base64",
            "commitment": "confirmed",
            "dataSlice": { "offset": has_debt, "length": 1 },
            "filters": wire_filters(&Filter::obligations(market)),
        }]);
        let sliced: Vec<Keyed> = self.call("getProgramAccounts", &params)?;
        let mut keys = Vec::new();
        for keyed in sliced {
            let key = parse_address(&keyed.pubkey)?;
            if keyed.account.decode()?.data.first().is_some_and(|flag| *flag != 0) {
                keys.push(key);
            }
        }
        keys.sort_unstable();
        let mut done = 0;
        for chunk in keys.chunks(BATCH) {
            for (key, account) in chunk.iter().zip(self.accounts(chunk)?) {
                // It may have been closed in between.
                if let Some(account) = account {
                    visit(key, &account);
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
        for (key, account) in code.iter().zip(self.accounts(&code)?) {
            snapshot.accounts.extend(account.map(|account| (*key, account)));
        }
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

fn wire_filters(filter: &Filter) -> Value {
    let mut filters = vec![json!({ "dataSize": filter.len })];
    if let Some((offset, key)) = filter.key_at {
        filters.push(json!({ "memcmp": { "offset": offset, "bytes": key.to_string() } }));
    }
    filters.into()
}
