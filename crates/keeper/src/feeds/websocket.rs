//! Updates by the websocket of a Solana RPC node.

use std::{
    collections::{BTreeMap, HashMap},
    io::ErrorKind,
    net::{TcpStream, ToSocketAddrs},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use klend_fork::lenient;
use serde::Deserialize;
use serde_json::{Value, json};
use solana_account::Account;
use solana_address::Address;
use tracing::debug;
use tungstenite::{Bytes, Error, Message, WebSocket, http::Uri, stream::MaybeTlsStream};

use super::{
    feed::{Connector, NAP, Outlet, Update, Version, Wanted},
    source::{Filter, KLEND, WireAccount, call::refusal, redact, wire_filters},
};

/// Longest it may take to connect, to shake hands, and until all subscriptions
/// are confirmed.
const PATIENCE: Duration = Duration::from_secs(10);
/// Silence after which the node is pinged, so that nothing on the way lets go.
const QUIET: Duration = Duration::from_secs(5);

/// A node's websocket.
pub struct NodeSocket {
    url: String,
    silence: Duration,
}

impl NodeSocket {
    /// The clock may be silent for `silence` before the connection is given up.
    pub fn new(url: String, silence: Duration) -> Self {
        Self { url, silence }
    }
}

/// What a subscription is to.
#[derive(Clone, Copy, Debug)]
enum Subject {
    /// Accounts of klend; notifications name them.
    Program(Filter),
    /// One account; notifications do not name it.
    Account(Address),
}

impl Subject {
    fn request(&self, id: usize) -> Value {
        let (method, params) = match self {
            Self::Program(filter) => (
                "programSubscribe",
                json!([KLEND.to_string(), {
                    "encoding": "base64",
                    "commitment": "confirmed",
                    "filters": wire_filters(filter),
                }]),
            ),
            Self::Account(key) => (
                "accountSubscribe",
                json!([key.to_string(), { "encoding": "base64", "commitment": "confirmed" }]),
            ),
        };
        json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
    }
}

/// Anything a node says that matters here. Providers add fields, and write numbers as
/// text.
#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    result: Value,
    #[serde(default)]
    error: Value,
    #[serde(default)]
    params: Option<Notification>,
}

#[derive(Deserialize)]
struct Notification {
    subscription: Value,
    result: Notified,
}

#[derive(Deserialize)]
struct Notified {
    context: SlotContext,
    value: Option<Written>,
}

#[derive(Deserialize)]
struct SlotContext {
    #[serde(deserialize_with = "lenient::number")]
    slot: u64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Keyed { pubkey: String, account: WireAccount },
    Plain(WireAccount),
}

/// A number or a text that names something, as text.
fn name(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned).or_else(|| value.as_u64().map(|number| number.to_string()))
}

/// Whether a message is about accounts.
fn is_of_accounts(message: &Value) -> bool {
    let method = message["method"].as_str();
    method.is_some_and(|method| ["accountNotification", "programNotification"].contains(&method))
}

/// Subscriptions of one connection.
struct Subscriptions {
    subjects: Vec<Subject>,
    /// The position of each by the node's name for it, once it is confirmed.
    confirmed: HashMap<String, usize>,
    /// The node's name for each, by position.
    names: BTreeMap<usize, String>,
    /// Notifications of subscriptions that are not confirmed yet.
    early: Vec<Notification>,
}

impl Subscriptions {
    fn new(wanted: &Wanted) -> Self {
        let mut subjects: Vec<Subject> = wanted.filters().map(Subject::Program).collect();
        subjects.extend(wanted.singles().into_iter().map(Subject::Account));
        Self { subjects, confirmed: HashMap::new(), names: BTreeMap::new(), early: Vec::new() }
    }

    /// Whether every subject is subscribed to, each by a name of its own.
    fn are_complete(&self) -> bool {
        self.names.len() == self.subjects.len()
    }

    /// Takes what the node says; returns the updates in it.
    fn hear(&mut self, text: &str) -> Result<Vec<Update>> {
        let said: Said = match serde_json::from_str(text) {
            Ok(said) => said,
            Err(reason) => return self.other(text, &reason),
        };
        let id = name(&said.id).and_then(|id| id.parse().ok());
        let id = id.filter(|id| *id < self.subjects.len());
        if !said.error.is_null() && (id.is_some() || !self.are_complete()) {
            let subject = id.and_then(|id| self.subjects.get(id));
            bail!("the node refuses to subscribe {subject:?}: {}", refusal(&said.error));
        }
        if let (Some(id), Some(number)) = (id, name(&said.result)) {
            return self.confirm(id, number);
        }
        match said.params {
            Some(notification) if self.are_complete() => {
                Ok(self.update(notification)?.into_iter().collect())
            }
            Some(notification) => {
                self.early.push(notification);
                Ok(Vec::new())
            }
            None => Ok(Vec::new()),
        }
    }

    fn confirm(&mut self, id: usize, number: String) -> Result<Vec<Update>> {
        let was_complete = self.are_complete();
        if let Some(other) = self.confirmed.insert(number.clone(), id)
            && other != id
        {
            bail!("the node has one name, {number}, for two subscriptions");
        }
        if let Some(old) = self.names.insert(id, number.clone())
            && old != number
        {
            bail!("the node confirms a subscription twice, as {old} and as {number}");
        }
        if was_complete || !self.are_complete() {
            return Ok(Vec::new());
        }
        let mut updates = vec![Update::Connected];
        for notification in std::mem::take(&mut self.early) {
            updates.extend(self.update(notification)?);
        }
        Ok(updates)
    }

    /// What is nothing that was asked for is let pass: pings, words of welcome,
    /// notifications of other kinds. What is cut off, or is about accounts and cannot be
    /// read, is not: an update would be missing.
    fn other(&self, text: &str, reason: &serde_json::Error) -> Result<Vec<Update>> {
        let shown: String = text.chars().take(80).collect();
        let is_json = text.trim_start().starts_with(['{', '[']);
        let message = serde_json::from_str::<Value>(text);
        if is_json && message.as_ref().map_or(true, is_of_accounts) {
            bail!("the node said what cannot be read: {reason}: {}", redact(&shown));
        }
        debug!(message = redact(&shown), "let pass");
        Ok(Vec::new())
    }

    fn update(&self, notification: Notification) -> Result<Option<Update>> {
        let id = name(&notification.subscription).and_then(|name| self.confirmed.get(&name));
        let Some(id) = id else { return Ok(None) };
        let Notified { context, value } = notification.result;
        let (key, account) = match (value, self.subjects[*id]) {
            (Some(Written::Keyed { pubkey, account }), Subject::Program(_)) => {
                let key = pubkey.parse().map_err(|_| anyhow!("{pubkey:?} is not an address"))?;
                (key, account.decode()?)
            }
            (Some(Written::Plain(account)), Subject::Account(key)) => (key, account.decode()?),
            // There is none any more.
            (None, Subject::Account(key)) => (key, Account::default()),
            _ => bail!("a notification is not of the kind that was subscribed"),
        };
        // What is told at this commitment is how a slot left the account.
        let version = Version::end_of(context.slot);
        Ok(Some(Update::Account { key, version, account }))
    }
}

/// How many updates are in what a node says, one message a line, to somebody who wants a
/// market and one more account.
///
/// # Errors
/// As for a connection, which ends there.
pub fn updates_in(said: &str) -> Result<usize> {
    let market = Address::new_from_array([1; 32]);
    let (markets, accounts) = (vec![market], vec![market]);
    let wanted = Wanted { markets, accounts, ..Wanted::default() };
    let mut subscriptions = Subscriptions::new(&wanted);
    let mut count = 0;
    for message in said.lines() {
        count += subscriptions.hear(message)?.len();
    }
    Ok(count)
}

type Socket = WebSocket<MaybeTlsStream<TcpStream>>;

fn connect(url: &str) -> Result<Socket> {
    let uri: Uri = url.parse().map_err(|_| anyhow!("the websocket's URL is not one"))?;
    let host = uri.host().context("the websocket's URL names no host")?;
    let port = match (uri.port_u16(), uri.scheme_str()) {
        (Some(port), _) => port,
        (None, Some("wss")) => 443,
        (None, _) => 80,
    };
    let addresses = (host.trim_matches(['[', ']']), port)
        .to_socket_addrs()
        .with_context(|| format!("{host} is not found"))?;
    let mut refused = None;
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                // Longer for the handshake than for a look at what is there.
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                stream.set_nodelay(true)?;
                let (socket, _) = tungstenite::client_tls(url, stream)
                    .map_err(|error| anyhow!("handshake: {}", redact(&error.to_string())))?;
                match socket.get_ref() {
                    MaybeTlsStream::Plain(stream) => stream.set_read_timeout(Some(NAP))?,
                    MaybeTlsStream::Rustls(stream) => stream.sock.set_read_timeout(Some(NAP))?,
                    _ => bail!("the websocket's stream is of no kind that is known"),
                }
                return Ok(socket);
            }
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.map_or_else(|| anyhow!("{host} has no address"), anyhow::Error::from))
        .with_context(|| format!("{host}:{port}"))
}

impl Connector for NodeSocket {
    fn name(&self) -> String {
        redact(&self.url)
    }

    fn silence(&self) -> Duration {
        self.silence
    }

    fn run(&mut self, wanted: &Wanted, outlet: &Outlet<'_>, stop: &AtomicBool) -> Result<()> {
        let mut socket = connect(&self.url)?;
        let mut subscriptions = Subscriptions::new(wanted);
        for (id, subject) in subscriptions.subjects.iter().enumerate() {
            socket.write(Message::text(subject.request(id).to_string()))?;
        }
        socket.flush()?;

        let begun = Instant::now();
        let mut heard = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            match socket.read() {
                Ok(message) => {
                    heard = Instant::now();
                    if let Message::Text(text) = &message {
                        for update in subscriptions.hear(text)? {
                            outlet.tell(update)?;
                        }
                    } else if message.is_close() {
                        bail!("the node closed the connection");
                    }
                }
                Err(Error::Io(error))
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error.into()),
            }
            if subscriptions.are_complete() {
                outlet.check()?;
            }
            if heard.elapsed() >= QUIET {
                socket.send(Message::Ping(Bytes::new()))?;
                heard = Instant::now();
            }
            if !subscriptions.are_complete() && begun.elapsed() >= PATIENCE {
                bail!(
                    "{} of {} subscriptions are confirmed after {} s",
                    subscriptions.names.len(),
                    subscriptions.subjects.len(),
                    PATIENCE.as_secs()
                );
            }
        }
        // Whether the goodbye arrives makes no difference.
        let _ = socket.close(None).and_then(|()| socket.flush());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscriptions() -> Subscriptions {
        let market = Address::new_from_array([1; 32]);
        Subscriptions::new(&Wanted {
            markets: vec![market],
            accounts: vec![market],
            ..Wanted::default()
        })
    }

    fn account(lamports: u64) -> Value {
        json!({
            "lamports": lamports, "data": ["AQI=", "base64"], "executable": false, "rentEpoch": 0,
            "owner": KLEND.to_string(), "space": 2,
        })
    }

    fn notification(subscription: u64, slot: u64, value: Value) -> String {
        json!({ "jsonrpc": "2.0", "method": "accountNotification", "params": {
            "subscription": subscription,
            "result": { "context": { "slot": slot, "apiVersion": "4.2" }, "value": value },
        }})
        .to_string()
    }

    fn confirm(id: usize, number: u64) -> String {
        json!({ "jsonrpc": "2.0", "id": id, "result": number }).to_string()
    }

    #[test]
    fn it_is_connected_when_every_subscription_is_confirmed() {
        let mut subscriptions = subscriptions();
        let keyed = json!({ "pubkey": KLEND.to_string(), "account": account(5) });
        assert!(subscriptions.hear(&confirm(0, 70)).unwrap().is_empty());
        // Told before it is known what it is about: kept.
        assert!(subscriptions.hear(&notification(72, 9, account(7))).unwrap().is_empty());
        assert!(subscriptions.hear(&confirm(1, 71)).unwrap().is_empty());
        assert!(subscriptions.hear(&confirm(3, 73)).unwrap().is_empty());
        // Twice the same is one.
        assert!(subscriptions.hear(&confirm(3, 73)).unwrap().is_empty());
        let updates = subscriptions.hear(&confirm(2, 72)).unwrap();
        let [Update::Connected, Update::Account { key, version, account: told }] = &updates[..]
        else {
            panic!("{updates:?}")
        };
        assert_eq!(*key, Address::new_from_array([1; 32]));
        assert_eq!((version.slot, told.lamports, &told.data[..]), (9, 7, &[1, 2][..]));
        let updates = subscriptions.hear(&notification(70, 10, keyed)).unwrap();
        let [Update::Account { key, .. }] = &updates[..] else { panic!("{updates:?}") };
        assert_eq!(*key, KLEND);
        // A subscription that was never made.
        assert!(subscriptions.hear(&notification(99, 9, account(7))).unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_ends_the_connection() {
        for text in [
            "{".to_owned(),
            json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": -32601, "message": "no" } })
                .to_string(),
        ] {
            assert!(subscriptions().hear(&text).is_err(), "{text}");
        }
        let mut subscriptions = subscriptions();
        (0..4).for_each(|id| drop(subscriptions.hear(&confirm(id, id as u64)).unwrap()));
        assert!(subscriptions.hear(&notification(0, 1, account(1))).is_err());
        let mut bad = account(1);
        bad["data"][0] = json!("?");
        assert!(subscriptions.hear(&notification(2, 1, bad.clone())).is_err());
        bad["lamports"] = json!("many");
        assert!(subscriptions.hear(&notification(2, 1, bad)).is_err());
        assert!(subscriptions.hear("{\"method\": \"accountNotif").is_err());
        // Two subjects under one name, or one under two.
        for (id, number) in [(2, 0), (0, 9)] {
            let mut subscriptions = self::subscriptions();
            assert!(subscriptions.hear(&confirm(0, 0)).unwrap().is_empty());
            assert!(subscriptions.hear(&confirm(id, number)).is_err());
        }
    }

    #[test]
    fn what_others_add_is_let_pass() {
        let mut subscriptions = subscriptions();
        // Ids and names as text, and things in between.
        for id in 0..4 {
            for message in [
                json!({ "jsonrpc": "2.0", "method": "ping", "params": [] }).to_string(),
                json!({ "type": "welcome", "params": null }).to_string(),
                json!({ "id": null, "result": true }).to_string(),
                "pong".to_owned(),
            ] {
                assert!(subscriptions.hear(&message).unwrap().is_empty(), "{message}");
            }
            let confirmation = json!({ "id": id.to_string(), "result": format!("0x{id}") });
            let updates = subscriptions.hear(&confirmation.to_string()).unwrap();
            assert_eq!(updates.len(), usize::from(id == 3));
        }
        // An error that is about nothing that was asked.
        let stray = json!({ "id": null, "error": { "code": -32000, "message": "?" } });
        assert!(subscriptions.hear(&stray.to_string()).unwrap().is_empty());
        let slot = json!({ "method": "slotNotification", "params": {
            "subscription": 0, "result": { "parent": 1, "root": 0, "slot": 2 },
        }});
        assert!(subscriptions.hear(&slot.to_string()).unwrap().is_empty());

        // Numbers as JavaScript rounds them, and more fields than there were.
        let mut written = account(5);
        written["rentEpoch"] = json!(1.844_674_407_370_955_2e19);
        written["hash"] = json!("?");
        let told = |value: Value| {
            json!({ "method": "accountNotification", "params": {
                "subscription": "0x2",
                "result": { "context": { "slot": "9", "more": [] }, "value": value, "at": 1.5 },
            }})
            .to_string()
        };
        let updates = subscriptions.hear(&told(written)).unwrap();
        let [Update::Account { account, .. }] = &updates[..] else { panic!("{updates:?}") };
        assert_eq!((account.lamports, account.rent_epoch), (5, u64::MAX));
        // None any more.
        let updates = subscriptions.hear(&told(Value::Null)).unwrap();
        let [Update::Account { account, .. }] = &updates[..] else { panic!("{updates:?}") };
        assert_eq!(*account, Account::default());
    }

    #[test]
    fn nothing_listens_at_an_unused_port() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let error = connect(&format!("ws://127.0.0.1:{port}/?key=SECRET")).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains("127.0.0.1") && !error.contains("SECRET"), "{error}");
        assert!(connect("not a url").is_err());
    }
}
