//! An RPC node on loopback that answers from a fork folder.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// A lookup table that the node has, with the addresses of all its accounts.
pub const TABLE: &str = "Cdah2U5ak3JjX9UjTPhRZEuMtkDdWbwympS5HqZ7uXkV";

const BLOCKHASH: &str = "4uQeVj5tqViQh7yWWGStvkEG1Zmhx6uasJtWCJziofM";
const LAST_VALID_HEIGHT: u64 = 150;
const CLOCK: &str = "SysvarC1ock11111111111111111111111111111111";

/// What goes wrong with one `getMultipleAccounts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    TooManyRequests,
    TruncatedJson,
    PartialAnswer,
    DroppedConnection,
    NodeIsBehind,
}

struct Stored {
    json: Value,
    owner: String,
    data: Vec<u8>,
}

/// What becomes of transactions that are sent to the node.
#[derive(Clone, Debug)]
pub enum Fate {
    /// Confirmed once the status was asked for that often; `getTransaction` then
    /// shows this error.
    Lands { after_polls: usize, error: Value },
    /// Dropped; the blockhash expires.
    Vanishes,
}

struct State {
    slot: u64,
    fate: Fate,
    polls: AtomicUsize,
    signatures: Mutex<BTreeSet<Vec<u8>>>,
    accounts: BTreeMap<String, Stored>,
    faults: Mutex<VecDeque<Fault>>,
    sent: AtomicUsize,
}

/// A running node. Its threads end with the test process.
pub struct Node {
    url: String,
    state: Arc<State>,
}

impl Node {
    /// Serves `folder`; `faults` happen to the first calls of `getMultipleAccounts`.
    pub fn serve(folder: &Path, faults: &[Fault]) -> Self {
        Self::with_fate(folder, faults, Fate::Vanishes)
    }

    /// The same; transactions meet `fate`.
    pub fn with_fate(folder: &Path, faults: &[Fault], fate: Fate) -> Self {
        let read =
            |path: &Path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
        let manifest = read(&folder.join("manifest.json"));
        let slot = manifest["slot"].as_u64().unwrap();
        let mut accounts = BTreeMap::new();
        for file in folder.join("accounts").read_dir().unwrap() {
            let file = read(&file.unwrap().path());
            accounts
                .insert(file["pubkey"].as_str().unwrap().to_owned(), Stored::new(&file["account"]));
        }
        let mut clock = vec![0; 40];
        clock[..8].copy_from_slice(&slot.to_le_bytes());
        let now = manifest["unix_timestamp"].as_i64().unwrap();
        clock[32..].copy_from_slice(&now.to_le_bytes());
        accounts.insert(
            CLOCK.to_owned(),
            Stored::new(&json!({
                "lamports": 1,
                "data": [STANDARD.encode(clock), "base64"],
                "owner": "Sysvar1111111111111111111111111111111111111",
                "executable": false,
                "rentEpoch": 0,
            })),
        );
        accounts.insert(TABLE.to_owned(), lookup_table(accounts.keys()));
        let state = Arc::new(State {
            slot,
            fate,
            polls: AtomicUsize::new(0),
            signatures: Mutex::new(BTreeSet::new()),
            accounts,
            faults: Mutex::new(faults.iter().copied().collect()),
            sent: AtomicUsize::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                thread::spawn(move || state.converse(stream));
            }
        });
        Self { url, state }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn faults_left(&self) -> usize {
        self.state.faults.lock().unwrap().len()
    }

    /// How many different transactions were sent.
    pub fn signatures(&self) -> usize {
        self.state.signatures.lock().unwrap().len()
    }

    /// How often `sendTransaction` was called.
    pub fn sent(&self) -> usize {
        self.state.sent.load(Ordering::SeqCst)
    }
}

impl Stored {
    fn new(account: &Value) -> Self {
        let data = STANDARD.decode(account["data"][0].as_str().unwrap()).unwrap();
        let mut json = account.clone();
        json["space"] = json!(data.len());
        Self { owner: account["owner"].as_str().unwrap().to_owned(), json, data }
    }
}

impl State {
    /// Answers requests until the client hangs up.
    fn converse(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut stream = stream;
        while let Some(request) = read_request(&mut reader) {
            let method = request["method"].as_str().unwrap_or_default();
            let fault = if method == "getMultipleAccounts" {
                self.faults.lock().unwrap().pop_front()
            } else {
                None
            };
            let mut reply = json!({ "jsonrpc": "2.0", "id": request["id"] });
            let result = self.result(method, &request["params"]);
            match fault {
                Some(Fault::DroppedConnection) => return,
                Some(Fault::TooManyRequests) => {
                    let status = "429 Too Many Requests\r\nRetry-After: 0";
                    respond(&mut stream, status, "slow down");
                    continue;
                }
                Some(Fault::NodeIsBehind) => {
                    reply["error"] = json!({ "code": -32016, "message": "Minimum context slot has not been reached" });
                }
                Some(Fault::PartialAnswer) => {
                    let mut result = result;
                    result["value"].as_array_mut().unwrap().pop();
                    reply["result"] = result;
                }
                Some(Fault::TruncatedJson) | None => reply["result"] = result,
            }
            let body = reply.to_string();
            let end = if fault == Some(Fault::TruncatedJson) { body.len() / 2 } else { body.len() };
            respond(&mut stream, "200 OK", &body[..end]);
        }
    }

    fn result(&self, method: &str, params: &Value) -> Value {
        let context = json!({ "slot": self.slot });
        match method {
            "getMultipleAccounts" => {
                let accounts: Vec<Value> = params[0]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|key| {
                        let stored = self.accounts.get(key.as_str().unwrap());
                        stored.map_or(Value::Null, |stored| stored.json.clone())
                    })
                    .collect();
                json!({ "context": context, "value": accounts })
            }
            "getProgramAccounts" => self.program_accounts(params),
            "getGenesisHash" => json!("5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d"),
            "getLatestBlockhash" => json!({ "context": context, "value": {
                "blockhash": BLOCKHASH, "lastValidBlockHeight": LAST_VALID_HEIGHT
            }}),
            "simulateTransaction" => json!({ "context": context, "value": {
                "err": null, "logs": [], "unitsConsumed": 1
            }}),
            "sendTransaction" => {
                let bytes = STANDARD.decode(params[0].as_str().unwrap()).unwrap();
                assert!(bytes.len() <= 1_232, "{} bytes", bytes.len());
                self.signatures.lock().unwrap().insert(bytes[1..65].to_vec());
                self.sent.fetch_add(1, Ordering::SeqCst);
                json!("signature")
            }
            "getSignatureStatuses" => {
                let polls = self.polls.fetch_add(1, Ordering::SeqCst);
                let landed = match &self.fate {
                    Fate::Lands { after_polls, .. } => polls >= *after_polls,
                    Fate::Vanishes => false,
                };
                let status = json!({ "slot": self.slot, "confirmationStatus": "confirmed" });
                let status = if landed { status } else { Value::Null };
                json!({ "context": context, "value": [status] })
            }
            "getBlockHeight" => {
                let polls = self.polls.load(Ordering::SeqCst) as u64;
                let expires = matches!(self.fate, Fate::Vanishes);
                json!(if expires { LAST_VALID_HEIGHT - 1 + polls } else { 1 })
            }
            "getTransaction" => {
                let Fate::Lands { error, .. } = &self.fate else { return Value::Null };
                json!({
                    "slot": self.slot,
                    "transaction": { "signatures": [params[0]], "message": {
                        "accountKeys": ["KLend2g3cP87fffoy8q1mQqGKjrxjC8boSyAYavgmjD"],
                        "instructions": [{ "programIdIndex": 0, "accounts": [], "data": "" }],
                    }},
                    "meta": { "err": error, "fee": 5000, "logMessages": [] },
                })
            }
            other => panic!("the keeper called {other}"),
        }
    }

    fn program_accounts(&self, params: &Value) -> Value {
        let config = &params[1];
        let matches = |stored: &Stored| {
            config["filters"].as_array().unwrap().iter().all(|filter| {
                if let Some(size) = filter["dataSize"].as_u64() {
                    return stored.data.len() as u64 == size;
                }
                let memcmp = &filter["memcmp"];
                let offset = memcmp["offset"].as_u64().unwrap() as usize;
                let bytes = memcmp["bytes"].as_str().unwrap();
                let key: solana_address::Address = bytes.parse().unwrap();
                stored.data[offset..].starts_with(key.as_ref())
            })
        };
        let found = self
            .accounts
            .iter()
            .filter(|(_, stored)| params[0].as_str() == Some(&stored.owner) && matches(stored));
        found
            .map(|(key, stored)| {
                let mut account = stored.json.clone();
                if let Some(slice) = config.get("dataSlice") {
                    let at = slice["offset"].as_u64().unwrap() as usize;
                    let end = at + slice["length"].as_u64().unwrap() as usize;
                    account["data"][0] = json!(STANDARD.encode(&stored.data[at..end]));
                }
                json!({ "pubkey": key, "account": account })
            })
            .collect()
    }
}

/// A lookup table's account: tag, not retired, extended long ago, no authority.
fn lookup_table<'a>(keys: impl Iterator<Item = &'a String>) -> Stored {
    let mut data = vec![0; 56];
    data[0] = 1;
    data[4..12].fill(0xff);
    for key in keys {
        let key: solana_address::Address = key.parse().unwrap();
        data.extend(key.as_ref());
    }
    Stored::new(&json!({
        "lamports": 1,
        "data": [STANDARD.encode(data), "base64"],
        "owner": "AddressLookupTab1e1111111111111111111111111",
        "executable": false,
        "rentEpoch": 0,
    }))
}

/// The JSON body of the next request; `None` when the client hangs up.
fn read_request(reader: &mut BufReader<TcpStream>) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}

fn respond(stream: &mut TcpStream, status: &str, body: &str) {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    // The client may have hung up already.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
}
