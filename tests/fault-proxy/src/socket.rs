//! A proxy of a node's websocket that lets things go wrong.

use std::{
    collections::VecDeque,
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tungstenite::{Error, Message, WebSocket};

use crate::{FAR_FUTURE, in_dialect, locked};

/// How much later something is told again.
const AGAIN: Duration = Duration::from_millis(300);
/// Who owns the clock.
const SYSVARS: &str = "Sysvar1111111111111111111111111111111111111";
/// Pause between two looks at both ends when neither said anything.
const NAP: Duration = Duration::from_millis(3);

/// What goes wrong with the connections of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Connections end, and new ones are refused.
    Refused,
    /// Connections end, and may be made again at once.
    Cut,
    /// Pings are answered; nothing is told.
    Silent,
    /// Subscriptions to programs are dead, those to accounts live on.
    DeadPrograms,
    /// Subscriptions to accounts are dead, but for the clock's; those to programs live on.
    DeadAccounts,
    /// Accounts are told to be gone, but for the clock.
    Gone,
    /// Everything is told again a moment later, when newer things were told.
    Twice,
    /// Everything is told so much later.
    Late(Duration),
    /// What is told has come to pass long ago, as its slot says.
    OldSlots,
    /// What is told is of a slot that is not to come.
    FarFuture,
    /// Numbers as JavaScript rounds them, names as text, pings and notifications that
    /// nobody asked for in between.
    Dialect,
    /// Half of a message.
    Truncated,
}

struct Trouble {
    fault: Fault,
    begun: Instant,
    end: Instant,
    met: Arc<AtomicUsize>,
}

type Troubles = Arc<Mutex<Vec<Trouble>>>;

/// A running proxy.
pub struct SocketProxy {
    url: String,
    troubles: Troubles,
}

impl SocketProxy {
    /// Passes messages on to and from the node's websocket at `node`.
    pub fn to(node: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("ws://{}", listener.local_addr()?);
        let troubles = Troubles::default();
        let shared = Arc::clone(&troubles);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let troubles = Arc::clone(&shared);
                // Either end may hang up at any time, which ends it.
                thread::spawn(move || drop(Bridge::new(stream, node, troubles).map(Bridge::run)));
            }
        });
        Ok(Self { url, troubles })
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Lets something go wrong for a while, with what is said from now on. Returns the
    /// count of messages, or of connections, that it happens to.
    pub fn during(&self, fault: Fault, length: Duration) -> Arc<AtomicUsize> {
        let met = Arc::<AtomicUsize>::default();
        let begun = Instant::now();
        let trouble = Trouble { fault, begun, end: begun + length, met: Arc::clone(&met) };
        locked(&self.troubles).push(trouble);
        met
    }

    /// Lets nothing more go wrong.
    pub fn clear(&self) {
        locked(&self.troubles).clear();
    }
}

/// What goes wrong now, with a connection that began `since`; counted where `concerns`
/// says that it is met.
fn now(
    troubles: &Mutex<Vec<Trouble>>,
    since: Instant,
    concerns: impl Fn(Fault) -> bool,
) -> Vec<Fault> {
    let (mut troubles, now) = (locked(troubles), Instant::now());
    troubles.retain(|trouble| trouble.end > now);
    // A connection that was made anew is not cut once more.
    let is_met = |trouble: &&Trouble| {
        concerns(trouble.fault) && (trouble.fault != Fault::Cut || since < trouble.begun)
    };
    let met = troubles.iter().filter(is_met);
    met.map(|trouble| {
        trouble.met.fetch_add(1, Ordering::Relaxed);
        trouble.fault
    })
    .collect()
}

/// A connection of the keeper's, and the one to the node that belongs to it.
struct Bridge {
    keeper: WebSocket<TcpStream>,
    node: WebSocket<TcpStream>,
    since: Instant,
    troubles: Troubles,
    /// What is told later, in order.
    late: VecDeque<(Instant, String)>,
    /// What is told again.
    again: VecDeque<(Instant, String)>,
}

impl Bridge {
    fn new(stream: TcpStream, node: SocketAddr, troubles: Troubles) -> Option<Self> {
        let since = Instant::now();
        if !now(&troubles, since, |fault| fault == Fault::Refused).is_empty() {
            return None;
        }
        let keeper = tungstenite::accept(stream).ok()?;
        let upstream = TcpStream::connect(node).ok()?;
        let (node, _) = tungstenite::client(format!("ws://{node}"), upstream).ok()?;
        for socket in [&keeper, &node] {
            socket.get_ref().set_nodelay(true).ok()?;
            socket.get_ref().set_nonblocking(true).ok()?;
        }
        Some(Self { keeper, node, since, troubles, late: VecDeque::new(), again: VecDeque::new() })
    }

    fn run(mut self) -> tungstenite::Result<()> {
        loop {
            let ends = |fault| matches!(fault, Fault::Refused | Fault::Cut);
            if !now(&self.troubles, self.since, ends).is_empty() {
                return Ok(());
            }
            let mut is_idle = true;
            while let Some(message) = heard(&mut self.node)? {
                is_idle = false;
                match message {
                    Message::Text(text) => self.tell(&text)?,
                    Message::Close(_) => return Ok(()),
                    _ => {}
                }
            }
            for queue in [&mut self.late, &mut self.again] {
                while queue.front().is_some_and(|(due, _)| *due <= Instant::now()) {
                    if let Some((_, text)) = queue.pop_front() {
                        said(self.keeper.write(Message::text(text)))?;
                    }
                }
            }
            // Pings are answered by the library.
            while let Some(message) = heard(&mut self.keeper)? {
                is_idle = false;
                match message {
                    Message::Text(_) => said(self.node.write(message))?,
                    Message::Close(_) => return Ok(()),
                    _ => {}
                }
            }
            said(self.node.flush())?;
            said(self.keeper.flush())?;
            if is_idle {
                thread::sleep(NAP);
            }
        }
    }

    /// Passes on what the node says, or what becomes of it.
    fn tell(&mut self, text: &str) -> tungstenite::Result<()> {
        let mut message: Value = serde_json::from_str(text).unwrap_or_default();
        let is_program = message["method"] == "programNotification";
        let is_notification = message.get("params").is_some();
        // The clock's owner is that of all sysvars, and no other is subscribed to.
        let is_account = message["method"] == "accountNotification"
            && message.pointer("/params/result/value/owner").is_none_or(|owner| owner != SYSVARS);
        let faults = now(&self.troubles, self.since, |fault| match fault {
            Fault::Refused | Fault::Cut => false,
            Fault::DeadPrograms => is_program,
            Fault::DeadAccounts | Fault::Gone => is_account,
            Fault::Dialect => true,
            _ => is_notification,
        });
        let (mut sent, mut pause) = (text.to_owned(), Duration::ZERO);
        for fault in faults {
            match fault {
                Fault::Refused | Fault::Cut => {}
                Fault::Silent | Fault::DeadPrograms | Fault::DeadAccounts => return Ok(()),
                Fault::Gone => {
                    if let Some(value) = message.pointer_mut("/params/result/value") {
                        *value = Value::Null;
                    }
                    sent = message.to_string();
                }
                Fault::Twice => self.again.push_back((Instant::now() + AGAIN, sent.clone())),
                Fault::Late(by) => pause = by,
                Fault::OldSlots | Fault::FarFuture => {
                    if let Some(slot) = message.pointer_mut("/params/result/context/slot") {
                        let old = slot.as_u64().unwrap_or_default().saturating_sub(200);
                        *slot = json!(if fault == Fault::OldSlots { old } else { FAR_FUTURE });
                    }
                    sent = message.to_string();
                }
                Fault::Dialect => {
                    in_dialect(&mut message);
                    let names = ["/id", "/params/subscription"];
                    let is_confirmation = message.get("result").is_some();
                    for name in names.into_iter().chain(is_confirmation.then_some("/result")) {
                        if let Some(name) = message.pointer_mut(name) {
                            *name = json!(name.as_str().map_or(name.to_string(), str::to_owned));
                        }
                    }
                    let ping = json!({ "jsonrpc": "2.0", "method": "ping", "id": null });
                    let slot = json!({ "method": "slotNotification", "params": {
                        "subscription": 0, "result": { "parent": 1, "root": 0, "slot": 2 },
                    }});
                    for between in [ping.to_string(), "pong".to_owned(), slot.to_string()] {
                        said(self.keeper.write(Message::text(between)))?;
                    }
                    sent = message.to_string();
                }
                Fault::Truncated => sent.truncate(sent.len() / 2),
            }
        }
        if pause.is_zero() && self.late.is_empty() {
            return said(self.keeper.write(Message::text(sent)));
        }
        self.late.push_back((Instant::now() + pause, sent));
        Ok(())
    }
}

/// What is there to be read, if anything is.
fn heard(socket: &mut WebSocket<TcpStream>) -> tungstenite::Result<Option<Message>> {
    match socket.read() {
        Ok(message) => Ok(Some(message)),
        Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// What cannot go out yet is kept, and goes out with the next flush.
fn said(result: tungstenite::Result<()>) -> tungstenite::Result<()> {
    match result {
        Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of messages through a proxy with this fault, until nothing more comes.
    fn through(fault: Fault, messages: &[Value]) -> Vec<Value> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let node = listener.local_addr().unwrap();
        let told: Vec<String> = messages.iter().map(ToString::to_string).collect();
        thread::spawn(move || {
            let mut socket = tungstenite::accept(listener.accept().unwrap().0).unwrap();
            // Once it is known that the fault is there.
            socket.read().unwrap();
            for text in told {
                socket.send(Message::text(text)).unwrap();
            }
            thread::sleep(AGAIN * 10);
        });
        let proxy = SocketProxy::to(node).unwrap();
        let address = proxy.url().strip_prefix("ws://").unwrap().to_owned();
        let stream = TcpStream::connect(address).unwrap();
        let (mut socket, _) = tungstenite::client(proxy.url(), stream).unwrap();
        socket.get_ref().set_read_timeout(Some(AGAIN * 3)).unwrap();
        proxy.during(fault, Duration::from_secs(60));
        socket.send(Message::text("{}")).unwrap();
        let mut heard = Vec::new();
        while let Ok(Message::Text(text)) = socket.read() {
            heard.push(serde_json::from_str(&text).unwrap());
        }
        heard
    }

    #[test]
    fn messages_become_what_the_fault_says() {
        let notified = |kind: &str, slot: u64, owner: &str| {
            json!({ "method": format!("{kind}Notification"), "params": {
                "subscription": 7,
                "result": { "context": { "slot": slot }, "value": { "owner": owner } },
            }})
        };
        let [clock, oracle, program] = [
            notified("account", 1_000, SYSVARS),
            notified("account", 1_000, "1"),
            notified("program", 1_000, "2"),
        ];
        let all = [clock.clone(), oracle.clone(), program.clone()];
        assert_eq!(through(Fault::DeadAccounts, &all), [clock.clone(), program.clone()]);
        assert_eq!(through(Fault::DeadPrograms, &all), [clock.clone(), oracle.clone()]);
        let mut gone = oracle.clone();
        gone["params"]["result"]["value"] = Value::Null;
        assert_eq!(through(Fault::Gone, &all), [clock.clone(), gone, program.clone()]);
        let twice = through(Fault::Twice, &all);
        assert_eq!((&twice[..3], &twice[3..]), (&all[..], &all[..]));
        assert!(through(Fault::Silent, &all).is_empty());
        let old = through(Fault::OldSlots, &all);
        assert!(old.iter().all(|old| old["params"]["result"]["context"]["slot"] == 800), "{old:?}");
    }
}
