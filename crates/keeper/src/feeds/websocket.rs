//! Updates by the websocket of a Solana RPC node.

use std::{
    collections::HashMap,
    io::ErrorKind,
    net::{TcpStream, ToSocketAddrs},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use solana_address::Address;
use tungstenite::{Bytes, Error, Message, WebSocket, http::Uri, stream::MaybeTlsStream};

use super::{
    feed::{Connector, Emit, NAP, Update, Version, Wanted},
    source::{Filter, KLEND, WireAccount, redact, wire_filters},
};

/// Longest it may take to connect, to shake hands, and until all subscriptions
/// are confirmed.
const PATIENCE: Duration = Duration::from_secs(10);
/// Silence after which the node is asked whether it is still there. The clock
/// alone changes more than twice a second.
const QUIET: Duration = Duration::from_secs(5);
/// Silence after which it is not.
const DEAD: Duration = Duration::from_secs(15);

/// A node's websocket.
pub struct NodeSocket {
    url: String,
}

impl NodeSocket {
    pub fn new(url: String) -> Self {
        Self { url }
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

/// Anything a node says.
#[derive(Deserialize)]
struct Said {
    id: Option<usize>,
    result: Option<u64>,
    error: Option<Value>,
    params: Option<Notification>,
}

#[derive(Deserialize)]
struct Notification {
    subscription: u64,
    result: Notified,
}

#[derive(Deserialize)]
struct Notified {
    context: SlotContext,
    value: Written,
}

#[derive(Deserialize)]
struct SlotContext {
    slot: u64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Keyed { pubkey: String, account: WireAccount },
    Plain(WireAccount),
}

/// Subscriptions of one connection.
struct Subscriptions {
    subjects: Vec<Subject>,
    /// By the node's number, once it is confirmed.
    confirmed: HashMap<u64, usize>,
    /// Notifications of subscriptions that are not confirmed yet.
    early: Vec<Notification>,
}

impl Subscriptions {
    fn new(wanted: &Wanted) -> Self {
        let mut subjects: Vec<Subject> = wanted.filters().map(Subject::Program).collect();
        subjects.extend(wanted.accounts.iter().copied().map(Subject::Account));
        Self { subjects, confirmed: HashMap::new(), early: Vec::new() }
    }

    fn are_complete(&self) -> bool {
        self.confirmed.len() == self.subjects.len()
    }

    /// Takes what the node says; returns the updates in it.
    fn hear(&mut self, text: &str) -> Result<Vec<Update>> {
        let said: Said = serde_json::from_str(text).context("the node said what is no answer")?;
        if let Some(error) = said.error {
            let subject = said.id.and_then(|id| self.subjects.get(id));
            bail!("the node refuses to subscribe {subject:?}: {}", redact(&error.to_string()));
        }
        if let (Some(id), Some(number)) = (said.id, said.result)
            && id < self.subjects.len()
        {
            self.confirmed.insert(number, id);
            if self.are_complete() {
                let mut updates = vec![Update::Connected];
                for notification in std::mem::take(&mut self.early) {
                    updates.extend(self.update(notification)?);
                }
                return Ok(updates);
            }
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

    fn update(&self, notification: Notification) -> Result<Option<Update>> {
        let Some(id) = self.confirmed.get(&notification.subscription) else { return Ok(None) };
        let Notified { context, value } = notification.result;
        let (key, account) = match (value, self.subjects[*id]) {
            (Written::Keyed { pubkey, account }, Subject::Program(_)) => {
                (pubkey.parse().map_err(|_| anyhow!("{pubkey:?} is not an address"))?, account)
            }
            (Written::Plain(account), Subject::Account(key)) => (key, account),
            _ => bail!("a notification is not of the kind that was subscribed"),
        };
        let version = Version { slot: context.slot, write: 0 };
        Ok(Some(Update::Account { key, version, account: account.decode()? }))
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
    fn run(&mut self, wanted: &Wanted, emit: Emit<'_>, stop: &AtomicBool) -> Result<()> {
        let mut socket = connect(&self.url)?;
        let mut subscriptions = Subscriptions::new(wanted);
        for (id, subject) in subscriptions.subjects.iter().enumerate() {
            socket.write(Message::text(subject.request(id).to_string()))?;
        }
        socket.flush()?;

        let begun = Instant::now();
        let (mut heard, mut asked) = (Instant::now(), false);
        while !stop.load(Ordering::Relaxed) {
            match socket.read() {
                Ok(message) => {
                    (heard, asked) = (Instant::now(), false);
                    if let Message::Text(text) = &message {
                        subscriptions.hear(text)?.into_iter().try_for_each(emit)?;
                    } else if message.is_close() {
                        bail!("the node closed the connection");
                    }
                }
                Err(Error::Io(error))
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error.into()),
            }
            let silence = heard.elapsed();
            if silence >= DEAD {
                bail!("the node has said nothing for {} s", DEAD.as_secs());
            }
            if silence >= QUIET && !asked {
                socket.send(Message::Ping(Bytes::new()))?;
                asked = true;
            }
            if !subscriptions.are_complete() && begun.elapsed() >= PATIENCE {
                bail!(
                    "{} of {} subscriptions are confirmed after {} s",
                    subscriptions.confirmed.len(),
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
        (0..3).for_each(|id| drop(subscriptions.hear(&confirm(id, id as u64)).unwrap()));
        assert!(subscriptions.hear(&notification(0, 1, account(1))).is_err());
        let mut bad = account(1);
        bad["data"][0] = json!("?");
        assert!(subscriptions.hear(&notification(2, 1, bad)).is_err());
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
